-- End a notification: sent, superseded, or dead. Only by the attempt that took it last, so that a slow one ends nothing.
UPDATE notifications SET status = $3, error = $4, due_at = NULL, ended_at = now()
WHERE id = $1 AND attempts = $2 AND status = 'QUEUED'
RETURNING id;
