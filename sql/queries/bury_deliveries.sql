-- Give up what falls due at endpoints that are off.
UPDATE webhook_deliveries SET status = 'DEAD', due_at = NULL, ended_at = now()
WHERE id IN (
    SELECT webhook_deliveries.id FROM webhook_endpoints JOIN webhook_deliveries ON endpoint_id = webhook_endpoints.id
    WHERE NOT active AND due_at <= now()
    LIMIT $1 FOR UPDATE OF webhook_deliveries SKIP LOCKED
)
RETURNING id;
