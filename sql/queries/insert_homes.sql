-- Begin the stay of some partitions on a node.
INSERT INTO generations (run_id, replication_id, partition) SELECT $2, $3, unnest($1::smallint[])
RETURNING partition, generation;
