-- Show that the money of cancelled bookings with tickets goes back; what ended before stays as it ended.
UPDATE bookings SET status = 'REFUNDED', status_reason = 'showtime_cancelled', updated_at = now()
WHERE id = ANY ($1::uuid[]) AND status = 'CONFIRMED';
