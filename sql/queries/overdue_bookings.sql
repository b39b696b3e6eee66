-- Take bookings that nobody paid in time, with patience for the fact that ends them, each for one worker; given again
-- after 10 s, behind all others, so that those that cannot be ended keep nobody waiting.
WITH due AS (
    SELECT id FROM bookings
    WHERE status = 'PENDING' AND greatest(expires_at, look_due) < now() - interval '5 seconds'
      AND NOT EXISTS (SELECT FROM captures WHERE booking_id = bookings.id AND outcome IS NULL)
    ORDER BY greatest(expires_at, look_due) LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE bookings SET look_due = now() + interval '5 seconds' FROM due WHERE bookings.id = due.id RETURNING bookings.id;
