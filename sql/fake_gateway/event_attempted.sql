-- Note one delivery: the next one's time, or NULL when there is to be none, and whether it was accepted.
UPDATE events SET attempts = attempts + 1, due_ms = :due_ms, accepted = accepted + :accepted WHERE event_id = :event_id
