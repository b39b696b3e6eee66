-- How many workers share the partitions: those whose session lives.
SELECT count(*) FROM workers
WHERE EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 || workers.id);
