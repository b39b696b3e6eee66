-- End a block; Redis is told afterwards.
UPDATE blocks SET released_at = now(), apply_due = now() + interval '5 seconds'
WHERE id = $1 AND released_at IS NULL RETURNING id;
