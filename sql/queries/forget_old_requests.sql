-- Forgets requests older than a day, the oldest first, a few at a time.
DELETE FROM requests
WHERE id IN (SELECT id FROM requests WHERE made_at <= now() - interval '24 hours' ORDER BY made_at LIMIT $1
             FOR UPDATE SKIP LOCKED)
RETURNING id;
