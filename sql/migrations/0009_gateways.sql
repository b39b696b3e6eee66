-- How far each gateway was asked what has happened there, so that a lost webhook loses nothing.
CREATE TABLE gateway_cursors (
    gateway     text PRIMARY KEY,
    -- By the gateway's clock: what happened before is in the ledger.
    asked_until timestamptz NOT NULL,
    -- When the gateway is asked next; moved on by the worker that does it.
    due_at      timestamptz NOT NULL DEFAULT now()
);

-- Which of the gateway's own payments paid a session.
CREATE INDEX payment_events_by_session ON payment_events (gateway, session_id);
