-- Mails that were received; a repeat under a known Message-ID is counted, not kept.
CREATE TABLE IF NOT EXISTS messages (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id     TEXT NOT NULL UNIQUE,
    recipients     TEXT NOT NULL,
    subject        TEXT NOT NULL,
    kind           TEXT NOT NULL,
    source         BLOB NOT NULL,
    copies         INTEGER NOT NULL DEFAULT 1,
    received_at_ms INTEGER NOT NULL
);
