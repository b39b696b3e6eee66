-- Outgoing webhooks: who is told of what, what is on its way to them, and how each attempt went.

CREATE TABLE webhook_endpoints (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url           text NOT NULL,
    events        text[] NOT NULL CHECK (cardinality(events) > 0),
    -- NULL: of all cinemas, and of what belongs to none.
    cinema_id     integer REFERENCES cinemas,
    description   text NOT NULL DEFAULT '',
    -- The newest first; the former ones sign beside it until `former_until`. Readable, for every request is signed.
    secrets       text[] NOT NULL,
    former_until  timestamptz,
    active        boolean NOT NULL DEFAULT true,
    off_reason    text CHECK (off_reason IN ('operator', 'gone', 'failing')),
    off_at        timestamptz,
    -- The first failure since the last success.
    failing_since timestamptz,
    created_by    text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- A deleted one stays as long as its log does, off and without secrets.
    deleted_at    timestamptz,
    CHECK (active = (off_reason IS NULL)),
    CHECK (active = (off_at IS NULL)),
    CHECK (deleted_at IS NULL OR (NOT active AND secrets = '{}'))
);

-- One event on its way to one endpoint, once for each announcement.
CREATE TABLE webhook_deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id     integer NOT NULL REFERENCES webhook_endpoints,
    -- NULL: a test that an operator asked for.
    announcement_id bigint REFERENCES announcements,
    event_id        uuid NOT NULL,
    type            text NOT NULL,
    -- What every attempt sends, byte for byte.
    body            text NOT NULL,
    status          text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DELIVERED', 'DEAD')),
    attempts        integer NOT NULL DEFAULT 0,
    -- When the worker sends it next; NULL when it does not.
    due_at          timestamptz DEFAULT now(),
    -- An attempt that fails after this is the last.
    give_up_at      timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    UNIQUE (endpoint_id, announcement_id),
    CHECK ((due_at IS NOT NULL) = (status = 'PENDING')),
    CHECK ((ended_at IS NULL) = (status = 'PENDING'))
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, id DESC);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- Every time that an endpoint was called; `ended_at` NULL: what came of it is not known (yet).
CREATE TABLE webhook_attempts (
    delivery_id bigint NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    attempt     integer NOT NULL CHECK (attempt > 0),
    begun_at    timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    duration_ms integer,
    status_code integer,
    -- How the answer begins.
    answer      text,
    error       text,
    PRIMARY KEY (delivery_id, attempt)
);

-- The same rows as their readers want them: times in ms.
CREATE VIEW webhook_endpoint_records AS
SELECT id, url, events, cinema_id, description, active, off_reason, unix_ms(off_at) AS off_at_ms,
       unix_ms(failing_since) AS failing_since_ms, created_by, unix_ms(created_at) AS created_at_ms
FROM webhook_endpoints WHERE deleted_at IS NULL;

CREATE VIEW webhook_delivery_records AS
SELECT id, endpoint_id, 'msg_' || event_id AS event_id, type, status, unix_ms(due_at) AS due_at_ms,
       unix_ms(created_at) AS created_at_ms, unix_ms(ended_at) AS ended_at_ms,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('attempt', attempt, 'begun_at_ms', unix_ms(begun_at),
                                                     'duration_ms', duration_ms, 'status_code', status_code,
                                                     'answer', answer, 'error', error) ORDER BY attempt), '[]')
        FROM webhook_attempts WHERE delivery_id = webhook_deliveries.id) AS attempts
FROM webhook_deliveries;
