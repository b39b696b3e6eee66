-- Write that a showtime is cancelled, by whom and why, once.
INSERT INTO cancellations (showtime_id, reason, cancelled_by, bookings, tickets, money) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (showtime_id) DO NOTHING;
