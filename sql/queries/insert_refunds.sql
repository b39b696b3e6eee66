-- Owe refunds, each once per business id.
INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, reason)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::bigint[], $7::text[], $8::text[])
ON CONFLICT (business_id) DO NOTHING;
