-- One mail, whole.
SELECT id, message_id, recipients, subject, kind, copies, received_at_ms, source FROM messages WHERE id = :id;
