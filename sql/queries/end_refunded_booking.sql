-- A booking whose tickets were all given back is REFUNDED.
UPDATE bookings SET status = 'REFUNDED', status_reason = $2, updated_at = now()
WHERE id = $1 AND status = 'CONFIRMED'
  AND NOT EXISTS (SELECT FROM tickets WHERE booking_id = $1 AND status <> 'REFUNDED');
