-- How many workers share the partitions.
SELECT count(*) FROM workers;
