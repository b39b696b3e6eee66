-- Make money durable, once per session; the outcome is NULL when seats are to be sold for it.
INSERT INTO captures (gateway, session_id, booking_id, amount_minor, currency, outcome, outcome_at)
VALUES ($1, $2, $3, $4, $5, $6::text, CASE WHEN $6::text IS NULL THEN NULL ELSE now() END)
ON CONFLICT (gateway, session_id) DO NOTHING
RETURNING true;
