-- Take bookings of a showtime whose customers gave all tickets back before, for less than they had paid.
SELECT bookings.id FROM bookings JOIN captures ON captures.booking_id = bookings.id
WHERE bookings.showtime_id = $1 AND bookings.status = 'REFUNDED' AND captures.outcome = 'TICKETS'
  AND captures.amount_minor > (SELECT coalesce(sum(amount_minor), 0) FROM refunds
                               WHERE refunds.gateway = captures.gateway AND refunds.session_id = captures.session_id)
LIMIT $2 FOR UPDATE OF bookings SKIP LOCKED;
