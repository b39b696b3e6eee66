-- Lock one refund.
SELECT id, gateway, session_id, status, attempts, attempts - attempts_before AS tries, settled_by
FROM refunds WHERE id = $1 FOR UPDATE;
