-- Remember who wants to be told before a booking lapses.
INSERT INTO reminders (booking_id, showtime_id, email, phone, locale, due_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (booking_id) DO NOTHING;
