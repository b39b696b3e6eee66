-- Sessions whose time has come: open ones expire, late ones are captured.
SELECT session_id, state FROM sessions WHERE due_ms <= :now_ms ORDER BY due_ms LIMIT 100
