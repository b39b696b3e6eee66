-- Cancel bookings, which are locked, with their showtime. Money that came before the lock is seen only now.
UPDATE bookings SET status = 'CANCELLED', status_reason = 'showtime_cancelled', updated_at = now()
WHERE id = ANY ($1::uuid[]) AND status = 'PENDING'
  AND NOT EXISTS (SELECT FROM captures WHERE booking_id = bookings.id AND outcome IS DISTINCT FROM 'REFUND')
RETURNING id;
