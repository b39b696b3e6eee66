-- Give a session its new state, and when it moves by itself next.
UPDATE sessions SET state = :state, due_ms = :due_ms WHERE session_id = :session_id
