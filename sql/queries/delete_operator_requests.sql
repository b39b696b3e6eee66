-- Forgets requests older than a day, a few at a time, as new ones come.
DELETE FROM operator_requests
WHERE id IN (SELECT id FROM operator_requests WHERE made_at < now() - interval '24 hours' LIMIT 100
             FOR UPDATE SKIP LOCKED);
