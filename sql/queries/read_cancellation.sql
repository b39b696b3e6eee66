-- A cancellation with how far it is.
SELECT showtime_id AS showtime, reason, cancelled_by, unix_ms(cancelled_at) AS cancelled_at_ms, bookings, tickets, money,
       unix_ms(closed_at) AS closed_at_ms, unix_ms(done_at) AS done_at_ms,
       (SELECT count(*) FROM bookings WHERE showtime_id = $1 AND status IN ('PENDING', 'CONFIRMED')) AS bookings_left,
       (SELECT count(*) FROM tickets WHERE showtime_id = $1 AND status IN ('SOLD', 'USED')) AS tickets_left,
       (SELECT count(*) FROM tickets WHERE showtime_id = $1 AND restock_due IS NOT NULL) AS seats_left,
       (SELECT coalesce(jsonb_agg(to_jsonb(sums) ORDER BY currency, status), '[]')
        FROM (SELECT refunds.status, refunds.currency, count(*) AS refunds, sum(refunds.amount_minor) AS amount_minor
              FROM bookings JOIN refunds ON refunds.booking_id = bookings.id
              WHERE bookings.showtime_id = $1 AND refunds.reason = 'showtime_cancelled'
              GROUP BY refunds.status, refunds.currency) AS sums) AS refunds
FROM cancellations WHERE showtime_id = $1;
