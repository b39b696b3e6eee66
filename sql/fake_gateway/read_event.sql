-- Read an event for its delivery.
SELECT body, attempts, accepted, due_ms FROM events WHERE event_id = :event_id
