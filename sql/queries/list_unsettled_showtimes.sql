-- Showtimes with money that has waited too long for an outcome.
SELECT DISTINCT bookings.showtime_id FROM captures JOIN bookings ON bookings.id = captures.booking_id
WHERE captures.outcome IS NULL AND captures.captured_at < now() - interval '20 seconds' AND captures.tries > 0
LIMIT $1;
