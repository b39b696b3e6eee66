-- Try to take partitions for this session.
SELECT partition, pg_try_advisory_lock($1::integer, partition) AS locked FROM unnest($2::integer[]) AS partition;
