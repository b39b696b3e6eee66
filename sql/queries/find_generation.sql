-- The generation of a Redis that was seen before.
SELECT generation FROM generations WHERE run_id = $1 AND replication_id = $2 AND partition IS NULL;
