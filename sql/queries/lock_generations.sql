-- Let one process at a time begin generations, until it commits.
SELECT pg_advisory_xact_lock($1);
