-- Take ended bookings whose seats nobody asks for any more, the oldest first, each for one worker.
SELECT id FROM bookings
WHERE status IN ('EXPIRED', 'CANCELLED') AND archived_at IS NULL AND updated_at <= now() - $1::interval
  AND NOT EXISTS (SELECT FROM captures WHERE booking_id = bookings.id AND outcome IS NULL)
ORDER BY updated_at LIMIT $2
FOR UPDATE SKIP LOCKED;
