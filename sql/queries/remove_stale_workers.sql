-- Forget workers whose heartbeat is old.
DELETE FROM workers WHERE id <> $1 AND seen_at < clock_timestamp() - $2::integer * interval '1 millisecond'
RETURNING id;
