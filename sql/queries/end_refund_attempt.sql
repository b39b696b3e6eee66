-- Write how an attempt ended; what is final stays.
UPDATE refund_attempts SET ended_at = clock_timestamp(), outcome = $3, error = $4
WHERE refund_id = $1 AND attempt = $2 AND coalesce(outcome, 'UNKNOWN') IN ('PENDING', 'UNKNOWN');
