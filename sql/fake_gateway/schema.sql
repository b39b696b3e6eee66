-- What the fake gateway remembers, so that a restart loses nothing. SQLite.

CREATE TABLE IF NOT EXISTS sessions (
    session_id    TEXT PRIMARY KEY,
    amount        INTEGER NOT NULL,
    currency      TEXT NOT NULL,
    description   TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    return_url    TEXT,
    cancel_url    TEXT,
    state         TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'stalled', 'late', 'failed', 'expired', 'captured')),
    -- When something happens by itself: an open session expires, a late one is captured. NULL: never.
    due_ms        INTEGER
);
CREATE INDEX IF NOT EXISTS sessions_due ON sessions (due_ms) WHERE due_ms IS NOT NULL;

CREATE TABLE IF NOT EXISTS events (
    event_id   TEXT PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions,
    type       TEXT NOT NULL,
    body       BLOB NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    -- When the webhook is asked next. NULL: it has answered 2xx.
    due_ms     INTEGER
);
CREATE INDEX IF NOT EXISTS events_due ON events (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_session ON events (session_id);
