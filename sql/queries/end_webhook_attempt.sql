-- Note what came of an attempt.
UPDATE webhook_attempts SET ended_at = now(), duration_ms = $3, status_code = $4, answer = $5, error = $6
WHERE delivery_id = $1 AND attempt = $2;
