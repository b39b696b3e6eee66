-- Take bookings of a showtime that wait for money of which none is at work, each for one worker.
SELECT id FROM bookings
WHERE showtime_id = $1 AND status = 'PENDING'
  AND NOT EXISTS (SELECT FROM captures WHERE booking_id = bookings.id AND outcome IS DISTINCT FROM 'REFUND')
LIMIT $2 FOR UPDATE SKIP LOCKED;
