-- Open a case, once per business id.
INSERT INTO cases (business_id, kind, showtime_id, booking_id, session_id, details) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (business_id) DO NOTHING;
