-- The generation of the Redis that was met last, if it is this one.
SELECT generation
FROM (
    SELECT generation, run_id, replication_id FROM generations WHERE partition IS NULL ORDER BY generation DESC LIMIT 1
) AS newest
WHERE run_id = $1 AND replication_id = $2;
