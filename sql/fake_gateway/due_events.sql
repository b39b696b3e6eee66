-- Events that the webhook has not accepted and is to be asked about now.
SELECT event_id FROM events WHERE due_ms <= :now_ms ORDER BY due_ms LIMIT :limit
