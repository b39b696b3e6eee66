-- Switch an endpoint off: it is gone, or it has failed at everything for so long.
UPDATE webhook_endpoints SET active = false, off_reason = $2, off_at = now()
WHERE id = $1 AND active AND ($2 = 'gone' OR failing_since <= now() - $3::bigint * interval '1 millisecond')
RETURNING id;
