-- Write that a gateway is about to be asked.
WITH begun AS (
    UPDATE refunds SET status = 'PROCESSING', attempts = attempts + 1, updated_at = now()
    WHERE id = ANY ($1::uuid[]) RETURNING id, attempts
)
INSERT INTO refund_attempts (refund_id, attempt) SELECT id, attempts FROM begun;
