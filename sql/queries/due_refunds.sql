-- Take refunds that are due, each for one worker, given again after the lease; those of another gateway after an hour.
WITH due AS (
    SELECT id FROM refunds WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE refunds
SET due_at = now() + CASE WHEN refunds.gateway = $2 THEN $3::interval ELSE interval '1 hour' END
FROM due WHERE refunds.id = due.id
RETURNING refunds.id, gateway, session_id, amount_minor, currency, reason, attempts, attempts - attempts_before AS tries,
          EXISTS (SELECT FROM refund_attempts
                  WHERE refund_id = refunds.id AND attempt = refunds.attempts AND outcome = 'PENDING') AS pending;
