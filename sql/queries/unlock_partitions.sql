-- Give partitions up.
SELECT pg_advisory_unlock($1::integer, partition) FROM unnest($2::integer[]) AS partition;
