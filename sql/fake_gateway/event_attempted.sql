-- Note one delivery: the next one's time, or NULL after a 2xx.
UPDATE events SET attempts = attempts + 1, due_ms = :due_ms WHERE event_id = :event_id
