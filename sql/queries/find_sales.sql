-- Says whether anybody has bought, is paying for, or was promised seats of a showtime.
SELECT EXISTS (SELECT FROM tickets WHERE showtime_id = $1 AND status IN ('SOLD', 'USED'))
    OR EXISTS (SELECT FROM bookings WHERE showtime_id = $1 AND status IN ('PENDING', 'CONFIRMED'))
    OR EXISTS (SELECT FROM captures c JOIN bookings b ON b.id = c.booking_id
               WHERE b.showtime_id = $1 AND c.outcome IS NULL);
