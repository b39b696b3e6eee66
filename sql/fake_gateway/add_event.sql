-- Queue an event for the webhook; in the same transaction as the session's move.
INSERT INTO events (event_id, session_id, type, body, due_ms) VALUES (:event_id, :session_id, :type, :body, :now_ms)
