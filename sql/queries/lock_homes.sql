-- Let one process at a time say where partitions are, until it commits.
SELECT pg_advisory_xact_lock($1);
