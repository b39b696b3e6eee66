-- From version 0 of the file to 1: times of events, refunds, and the double-entry book. One transaction.
BEGIN IMMEDIATE;

ALTER TABLE events ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_by_time ON events (at_ms);

CREATE TABLE refunds (
    refund_id      TEXT PRIMARY KEY,
    session_id     TEXT NOT NULL REFERENCES sessions,
    amount         INTEGER NOT NULL CHECK (amount > 0),
    currency       TEXT NOT NULL,
    reason         TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('SETTLED', 'PENDING', 'FAILED')),
    gateway_refund TEXT NOT NULL,
    failure_code   TEXT,
    attempts       INTEGER NOT NULL,
    -- When a pending one ends, and how. NULL: nothing more happens by itself.
    due_ms         INTEGER,
    due_status     TEXT CHECK (due_status IN ('SETTLED', 'FAILED')),
    CHECK ((due_ms IS NOT NULL) = (status = 'PENDING') AND (due_ms IS NULL) = (due_status IS NULL))
);
CREATE INDEX refunds_by_session ON refunds (session_id);
CREATE INDEX refunds_due ON refunds (due_ms) WHERE due_ms IS NOT NULL;

-- Money that moved, two postings each time: what the customer gives, clearing has. An entry is named by its session
-- or refund, so that no capture and no refund can be booked twice. Nothing is ever changed.
CREATE TABLE postings (
    posting_id INTEGER PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('capture', 'refund')),
    entry_id   TEXT NOT NULL,
    session_id TEXT NOT NULL REFERENCES sessions,
    account    TEXT NOT NULL CHECK (account IN ('customer', 'clearing')),
    amount     INTEGER NOT NULL CHECK (amount <> 0),
    currency   TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    UNIQUE (kind, entry_id, account),
    CHECK ((amount < 0) = ((kind = 'capture') = (account = 'customer')))
);
CREATE INDEX postings_by_session ON postings (session_id);
CREATE TRIGGER postings_stay BEFORE UPDATE ON postings BEGIN SELECT raise(ABORT, 'the book is never changed'); END;
CREATE TRIGGER postings_are_kept BEFORE DELETE ON postings BEGIN SELECT raise(ABORT, 'the book is never changed'); END;

-- Payments that were taken before there was a book.
INSERT INTO postings (kind, entry_id, session_id, account, amount, currency, at_ms)
SELECT 'capture', session_id, session_id, account, sign * amount, currency, 0
FROM sessions, (SELECT 'customer' AS account, -1 AS sign UNION ALL SELECT 'clearing', 1)
WHERE state = 'captured';

PRAGMA user_version = 1;
COMMIT
