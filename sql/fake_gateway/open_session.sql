-- Keep a session; asking again changes nothing.
INSERT INTO sessions (session_id, amount, currency, description, expires_at_ms, return_url, cancel_url, due_ms)
VALUES (:session_id, :amount, :currency, :description, :expires_at_ms, :return_url, :cancel_url, :expires_at_ms)
ON CONFLICT (session_id) DO NOTHING
