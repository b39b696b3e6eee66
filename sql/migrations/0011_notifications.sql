-- Mails and messages on their way, and reminders that customers asked for.

-- One word to one person, once per business id. The text is made when it is sent, of what the ledger says then.
CREATE TABLE notifications (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    business_id text NOT NULL UNIQUE,
    kind        text NOT NULL,
    channel     text NOT NULL CHECK (channel IN ('mail', 'message')),
    recipient   text NOT NULL,
    locale      text NOT NULL,
    showtime_id bigint,
    booking_id  uuid,
    refund_id   uuid,
    data        jsonb NOT NULL DEFAULT '{}',
    status      text NOT NULL DEFAULT 'QUEUED' CHECK (status IN ('QUEUED', 'SENT', 'SUPERSEDED', 'DEAD')),
    attempts    integer NOT NULL DEFAULT 0,
    -- When a worker tries next; while one tries, when another may.
    due_at      timestamptz DEFAULT now(),
    error       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    CHECK ((due_at IS NOT NULL) = (status = 'QUEUED')),
    CHECK ((ended_at IS NULL) = (status = 'QUEUED'))
);
CREATE INDEX notifications_due ON notifications (channel, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notifications_by_status ON notifications (status, id DESC);
CREATE INDEX notifications_by_booking ON notifications (booking_id);

-- Who wants to be told before an unpaid booking lapses. The booking itself lives in Redis.
CREATE TABLE reminders (
    booking_id  uuid PRIMARY KEY,
    showtime_id bigint NOT NULL,
    email       text NOT NULL,
    phone       text,
    locale      text NOT NULL,
    -- When the worker looks whether it is still unpaid; NULL when it has looked.
    due_at      timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reminders_due ON reminders (due_at) WHERE due_at IS NOT NULL;
