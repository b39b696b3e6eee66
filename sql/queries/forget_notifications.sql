-- Forget mails and messages that were sent long ago, a few at a time; the dead ones stay for a person.
DELETE FROM notifications
WHERE id IN (SELECT id FROM notifications WHERE status IN ('SENT', 'SUPERSEDED') AND ended_at <= now() - $1::interval
             ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING id;
