-- Take bookings of a showtime that have tickets, each for one worker.
SELECT id FROM bookings WHERE showtime_id = $1 AND status = 'CONFIRMED' LIMIT $2 FOR UPDATE SKIP LOCKED;
