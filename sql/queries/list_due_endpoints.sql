-- Endpoints that have deliveries to send, and how many, counted up to a limit.
SELECT webhook_endpoints.id, (
    SELECT count(*) FROM (
        SELECT FROM webhook_deliveries
        WHERE endpoint_id = webhook_endpoints.id AND due_at <= now() LIMIT $1
    ) AS due
) AS due
FROM webhook_endpoints
WHERE active AND EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = webhook_endpoints.id AND due_at <= now());
