-- Seats of some showtimes that have more than one live ticket.
SELECT 'double_ticket' AS kind, showtime_id AS showtime, 'seat ' || min(seat) AS place, '1 live ticket' AS expected,
       string_agg(id::text, ' ' ORDER BY id) AS found
FROM tickets WHERE showtime_id = ANY ($1::bigint[]) AND status IN ('SOLD', 'USED')
GROUP BY showtime_id, seat_index HAVING count(*) > 1;
