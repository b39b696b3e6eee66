-- Bookings that nobody paid in time, with patience for the fact that ends them.
SELECT id FROM bookings WHERE status = 'PENDING' AND expires_at < now() - interval '5 seconds'
  AND NOT EXISTS (SELECT FROM captures WHERE booking_id = bookings.id AND outcome IS NULL)
ORDER BY expires_at LIMIT $1;
