-- Pending refunds whose time has come.
SELECT refund_id FROM refunds WHERE due_ms <= :now_ms ORDER BY due_ms LIMIT :limit
