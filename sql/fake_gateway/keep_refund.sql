-- Write where a refund stands; the first time, too.
INSERT INTO refunds (
    refund_id, session_id, amount, currency, reason, status, gateway_refund, failure_code, attempts, due_ms, due_status
) VALUES (
    :refund_id, :session_id, :amount, :currency, :reason, :status, :gateway_refund, :failure_code, :attempts,
    :due_ms, :due_status
)
ON CONFLICT (refund_id) DO UPDATE SET
    status = excluded.status, failure_code = excluded.failure_code, attempts = excluded.attempts,
    due_ms = excluded.due_ms, due_status = excluded.due_status
