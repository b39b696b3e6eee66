-- Give a Redis not seen before the next generation; two who ask at once get the same.
INSERT INTO generations (run_id, replication_id) VALUES ($1, $2)
ON CONFLICT (run_id, replication_id) WHERE partition IS NULL DO UPDATE SET seen_at = now()
RETURNING generation;
