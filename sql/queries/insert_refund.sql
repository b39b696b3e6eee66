-- Owe a refund, once per business id.
INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (business_id) DO NOTHING;
