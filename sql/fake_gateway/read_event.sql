-- Read an event for its delivery.
SELECT body, attempts FROM events WHERE event_id = :event_id
