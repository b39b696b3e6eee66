-- Take the turn to ask a gateway if it is due; nobody else does for a while.
UPDATE gateway_cursors SET due_at = now() + $2 WHERE gateway = $1 AND due_at <= now()
RETURNING unix_ms(asked_until);
