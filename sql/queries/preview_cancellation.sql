-- What the cancellation of a showtime meets: bookings with tickets or waiting for money, live tickets, and the money
-- that goes back, by currency.
SELECT (SELECT count(*)::integer FROM bookings WHERE showtime_id = $1 AND status IN ('PENDING', 'CONFIRMED')) AS bookings,
       (SELECT count(*)::integer FROM tickets WHERE showtime_id = $1 AND status IN ('SOLD', 'USED')) AS tickets,
       (SELECT coalesce(jsonb_object_agg(currency, owed), '{}')
        FROM (SELECT captures.currency, sum(captures.amount_minor - (
                         SELECT coalesce(sum(amount_minor), 0) FROM refunds
                         WHERE refunds.gateway = captures.gateway AND refunds.session_id = captures.session_id
                     ))::bigint AS owed
              FROM bookings JOIN captures ON captures.booking_id = bookings.id
              WHERE bookings.showtime_id = $1 AND captures.outcome IS DISTINCT FROM 'REFUND'
              GROUP BY captures.currency) AS sums
        WHERE owed > 0) AS money;
