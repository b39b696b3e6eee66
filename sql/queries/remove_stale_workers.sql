-- Forget workers whose heartbeat is old, but for those of our own process.
DELETE FROM workers WHERE id <> ALL ($1::uuid[]) AND seen_at < clock_timestamp() - $2::integer * interval '1 millisecond'
RETURNING id;
