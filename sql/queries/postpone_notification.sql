-- Try a notification again after $3 ms. An attempt that never reached a server does not count ($5).
UPDATE notifications
SET due_at = now() + $3::bigint * interval '1 millisecond', error = $4,
    attempts = attempts - CASE WHEN $5::boolean THEN 0 ELSE 1 END
WHERE id = $1 AND attempts = $2 AND status = 'QUEUED';
