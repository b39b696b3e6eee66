-- On a cluster each stay of a partition on a node is a life of its own: it has a generation, and returning begins
-- another one, so that the generations of a showtime only grow.

ALTER TABLE generations
    -- The partition that came to that node; NULL where one Redis has everything.
    ADD COLUMN partition smallint,
    DROP CONSTRAINT generations_run_id_replication_id_key;
CREATE UNIQUE INDEX generations_of_servers ON generations (run_id, replication_id) WHERE partition IS NULL;
CREATE INDEX generations_of_partitions ON generations (partition, generation) WHERE partition IS NOT NULL;
