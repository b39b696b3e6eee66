-- Keep a mail, or count one more copy of it.
INSERT INTO messages (message_id, recipients, subject, kind, source, received_at_ms)
VALUES (:message_id, :recipients, :subject, :kind, :source, :received_at_ms)
ON CONFLICT (message_id) DO UPDATE SET copies = copies + 1;
