-- Enter a booking at its first payment intent; one that is there already stays as it is.
INSERT INTO bookings (id, showtime_id, subject, email, phone, locale, status, owner_number, claimed_at,
                      amount_minor, currency, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, 'PENDING', $7, $8, $9, $10, $11)
ON CONFLICT (id) DO NOTHING;
