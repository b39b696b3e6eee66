-- A Redis that others followed in between gets another generation when it is met again: its data lacks theirs.

DROP INDEX generations_of_servers;
CREATE INDEX generations_of_servers ON generations (generation) WHERE partition IS NULL;
