-- Begin the next generation.
INSERT INTO generations (run_id, replication_id) VALUES ($1, $2)
RETURNING generation;
