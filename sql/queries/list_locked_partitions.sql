-- Partitions that some session holds.
SELECT objid::integer AS partition FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1::integer::oid AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
