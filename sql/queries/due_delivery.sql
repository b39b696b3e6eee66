-- Take one delivery of an endpoint for one worker, with the attempt that it is; due again if nobody notes its end.
WITH due AS (
    SELECT id FROM webhook_deliveries
    WHERE endpoint_id = $1 AND due_at <= now()
        AND EXISTS (SELECT FROM webhook_endpoints WHERE id = $1 AND active)
    ORDER BY due_at LIMIT 1
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = now() + $2::bigint * interval '1 millisecond'
    FROM due WHERE webhook_deliveries.id = due.id
    RETURNING webhook_deliveries.*
), begun AS (
    INSERT INTO webhook_attempts (delivery_id, attempt) SELECT id, attempts FROM taken
)
SELECT taken.id, taken.attempts AS attempt, endpoint_id, url, 'msg_' || event_id AS event_id, body,
       CASE WHEN former_until > now() THEN secrets ELSE secrets[:1] END AS secrets
FROM taken JOIN webhook_endpoints ON webhook_endpoints.id = endpoint_id;
