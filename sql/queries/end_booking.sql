-- End a booking that waits for its payment and for which no money came.
UPDATE bookings SET status = $2, status_reason = $3, updated_at = now()
WHERE id = $1 AND status = 'PENDING'
  AND NOT EXISTS (SELECT FROM captures WHERE booking_id = $1 AND outcome IS DISTINCT FROM 'REFUND')
RETURNING id;
