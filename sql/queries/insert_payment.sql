-- Write a payment session before its gateway hears of it.
INSERT INTO payments (session_id, gateway, booking_id, amount_minor, currency, return_url, cancel_url, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);
