-- The newest stay of some partitions of a cluster on a node.
SELECT DISTINCT ON (partition) partition, generation, run_id, replication_id FROM generations
WHERE partition = ANY($1::smallint[]) ORDER BY partition, generation DESC;
