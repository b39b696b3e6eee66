-- Mails, the newest first; those to one address if asked.
SELECT id, message_id, recipients, subject, kind, copies, received_at_ms FROM messages
WHERE :recipient IS NULL OR recipients = :recipient
ORDER BY id DESC LIMIT :limit;
