-- End the sessions of these names. Not in WHERE: its conditions are evaluated in any order, and would end all others.
SELECT count(CASE WHEN application_name = ANY ($1::text[]) THEN pg_terminate_backend(pid) END) FROM pg_stat_activity;
