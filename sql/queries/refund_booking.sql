-- Show that a booking's money goes back, unless other money of it bought tickets or still may.
UPDATE bookings SET status = 'REFUNDED', status_reason = $2, updated_at = now()
WHERE id = $1 AND (status = 'EXPIRED' OR (status = 'PENDING' AND $3::boolean))
  AND NOT EXISTS (SELECT FROM captures WHERE booking_id = $1 AND outcome IS DISTINCT FROM 'REFUND');
