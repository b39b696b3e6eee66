-- Read one refund.
SELECT refund_id, session_id, amount, currency, reason, status, gateway_refund, failure_code, attempts, due_status
FROM refunds
WHERE refund_id = :refund_id
