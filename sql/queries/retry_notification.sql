-- Queue a dead notification again, from its first attempt; one that waits is tried now.
UPDATE notifications
SET status = 'QUEUED', due_at = now(), ended_at = NULL, attempts = CASE status WHEN 'DEAD' THEN 0 ELSE attempts END
WHERE id = $1 AND status IN ('DEAD', 'QUEUED')
RETURNING id;
