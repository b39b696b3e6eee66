-- Forget what was announced long ago and has no delivery left in an endpoint's log, a few at a time.
DELETE FROM announcements
WHERE id IN (SELECT id FROM announcements AS old WHERE spread_at <= now() - $1::interval
               AND NOT EXISTS (SELECT FROM webhook_deliveries WHERE announcement_id = old.id)
             ORDER BY spread_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING id;
