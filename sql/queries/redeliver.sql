-- Send a delivery again now, whatever became of it; beyond its time it is tried once.
UPDATE webhook_deliveries SET
    status = 'PENDING', due_at = now(), ended_at = NULL, give_up_at = greatest(give_up_at, now())
WHERE endpoint_id = $1 AND id = $2
RETURNING id;
