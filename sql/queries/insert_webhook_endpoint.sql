-- Enter an endpoint.
INSERT INTO webhook_endpoints (url, events, cinema_id, description, secrets, created_by)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING id;
