-- Makes the caller the only one who works for a request until its transaction ends; false if somebody else does.
SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0));
