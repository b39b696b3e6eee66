-- From version 1 of the file to 2: what decisions about faults depend on. One transaction.
BEGIN IMMEDIATE;

-- How often a session or refund was asked for, so that each attempt has its own luck, over restarts too.
CREATE TABLE attempts (
    kind  TEXT NOT NULL,
    about TEXT NOT NULL,
    made  INTEGER NOT NULL,
    PRIMARY KEY (kind, about)
);
-- How often the webhook has said 2xx.
ALTER TABLE events ADD COLUMN accepted INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 2;
COMMIT
