-- Write that a person has paid a refund.
UPDATE refunds SET status = 'SETTLED', settled_at = now(), settled_by = $2, note = $3, updated_at = now()
WHERE id = $1;
