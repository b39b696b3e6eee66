-- The number of partitions that this deployment was begun with.
SELECT partitions FROM deployment;
