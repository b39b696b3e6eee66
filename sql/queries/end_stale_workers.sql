-- Forget workers whose heartbeat is old, and end their sessions, which frees their partitions.
WITH gone AS (
    DELETE FROM workers WHERE id <> $1 AND seen_at < clock_timestamp() - $2::integer * interval '1 millisecond'
    RETURNING id
)
SELECT id, (SELECT count(*) FROM pg_stat_activity
            WHERE application_name = $3 || gone.id AND pg_terminate_backend(pid)) AS ended
FROM gone;
