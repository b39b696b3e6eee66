-- A worker's heartbeat, written in the session that holds its partitions.
INSERT INTO workers (id, name, backend, seen_at) VALUES ($1, $2, pg_backend_pid(), clock_timestamp())
ON CONFLICT (id) DO UPDATE SET backend = excluded.backend, seen_at = excluded.seen_at;
