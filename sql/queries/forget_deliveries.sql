-- Forget deliveries that ended long ago, with their attempts, a few at a time.
DELETE FROM webhook_deliveries
WHERE id IN (SELECT id FROM webhook_deliveries WHERE ended_at <= now() - $2::bigint * interval '1 millisecond'
             ORDER BY ended_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id;
