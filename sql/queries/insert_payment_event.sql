-- Keep a signed event, once.
INSERT INTO payment_events (gateway, event_id, type, session_id, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (gateway, event_id) DO NOTHING
RETURNING true;
