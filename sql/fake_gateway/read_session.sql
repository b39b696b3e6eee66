-- Read one session.
SELECT session_id, amount, currency, description, expires_at_ms, return_url, cancel_url, state
FROM sessions
WHERE session_id = :session_id
