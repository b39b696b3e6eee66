-- Counts, per showtime, the seats that the ledger knows as sold or out of sale.
SELECT w.showtime_id,
       (SELECT count(*) FROM tickets t WHERE t.showtime_id = w.showtime_id AND t.status IN ('SOLD', 'USED'))
     + (SELECT count(*) FROM block_seats b WHERE b.showtime_id = w.showtime_id AND b.live) AS gone
FROM unnest($1::bigint[]) AS w (showtime_id);
