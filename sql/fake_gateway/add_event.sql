-- Queue an event for the webhook, in the same transaction as what it tells of; without a due time it is only listed.
INSERT INTO events (event_id, session_id, type, body, due_ms, at_ms)
VALUES (:event_id, :session_id, :type, :body, :due_ms, :now_ms)
