-- Queue a test, which is tried once.
INSERT INTO webhook_deliveries (endpoint_id, event_id, type, body, give_up_at)
VALUES ($1, $2, $3, $4, now()) RETURNING id;
