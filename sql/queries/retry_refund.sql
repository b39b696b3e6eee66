-- Let the gateway be asked again, as often as the first time.
UPDATE refunds SET status = 'QUEUED', due_at = now(), attempts_before = attempts, settled_at = NULL, updated_at = now()
WHERE id = $1;
