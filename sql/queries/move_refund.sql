-- Give a refund its status, when it is looked at next, and what the gateway said.
UPDATE refunds
SET status = $2, due_at = clock_timestamp() + $3::interval, gateway_refund = coalesce($4, gateway_refund),
    failure_code = $5, settled_at = CASE WHEN $2 = 'SETTLED' THEN clock_timestamp() END, updated_at = clock_timestamp()
WHERE id = $1;
