-- Give a payment its end; SUCCESS is final, and only SUCCESS follows FAILED or EXPIRED.
UPDATE payments SET status = $3, failure_code = coalesce($4, failure_code), updated_at = now()
WHERE gateway = $1 AND session_id = $2 AND status <> $3 AND (status = 'PENDING' OR $3 = 'SUCCESS');
