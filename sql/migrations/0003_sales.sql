-- Bookings, payments, captures, tickets, refunds, facts: the durable ledger.

-- One row; compared at start.
CREATE TABLE deployment (
    only       boolean PRIMARY KEY DEFAULT true CHECK (only),
    partitions integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Each life of a Redis node that was ever seen. A new pair means that memory may have been lost.
CREATE TABLE generations (
    generation        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id            text NOT NULL,
    replication_id    text NOT NULL,
    seen_at           timestamptz NOT NULL DEFAULT now(),
    UNIQUE (run_id, replication_id)
);

-- A booking enters the ledger with its first payment intent, or with the fact that ended it.
CREATE TABLE bookings (
    id            uuid PRIMARY KEY,
    showtime_id   bigint NOT NULL REFERENCES showtimes,
    subject       text NOT NULL,
    email         text,
    phone         text,
    locale        text NOT NULL DEFAULT 'id',
    status        text NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'CANCELLED', 'EXPIRED', 'REFUNDED')),
    status_reason text,
    owner_number  bigint NOT NULL,
    claimed_at    timestamptz NOT NULL,
    amount_minor  bigint NOT NULL CHECK (amount_minor >= 0),
    currency      char(3) NOT NULL,
    expires_at    timestamptz NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bookings_by_subject ON bookings (subject, created_at DESC);
CREATE INDEX bookings_by_showtime ON bookings (showtime_id, status);
CREATE INDEX bookings_pending ON bookings (expires_at) WHERE status = 'PENDING';

CREATE TABLE booking_seats (
    booking_id  uuid NOT NULL REFERENCES bookings,
    seat_index  integer NOT NULL,
    seat        text NOT NULL,
    tier        text NOT NULL,
    price_minor bigint NOT NULL CHECK (price_minor >= 0),
    PRIMARY KEY (booking_id, seat_index)
);

-- A payment session of ours at a gateway, written before the gateway is called.
CREATE TABLE payments (
    session_id   text PRIMARY KEY,
    gateway      text NOT NULL,
    booking_id   uuid NOT NULL REFERENCES bookings,
    status       text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'SUCCESS', 'FAILED', 'EXPIRED')),
    amount_minor bigint NOT NULL,
    currency     char(3) NOT NULL,
    payment_url  text,
    return_url   text,
    cancel_url   text,
    failure_code text,
    expires_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_by_booking ON payments (booking_id, created_at DESC);

-- Every signed event of a gateway, once.
CREATE TABLE payment_events (
    gateway     text NOT NULL,
    event_id    text NOT NULL,
    type        text NOT NULL,
    session_id  text NOT NULL,
    body        jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gateway, event_id)
);

-- Money that a gateway says it has taken. Written before any seat is sold for it; ends with one outcome.
CREATE TABLE captures (
    gateway      text NOT NULL,
    session_id   text NOT NULL,
    booking_id   uuid REFERENCES bookings,
    amount_minor bigint NOT NULL,
    currency     char(3) NOT NULL,
    captured_at  timestamptz NOT NULL DEFAULT now(),
    outcome      text CHECK (outcome IN ('TICKETS', 'REFUND')),
    outcome_at   timestamptz,
    PRIMARY KEY (gateway, session_id)
);
CREATE INDEX captures_open ON captures (captured_at) WHERE outcome IS NULL;
CREATE INDEX captures_by_booking ON captures (booking_id);

CREATE TABLE tickets (
    id           uuid PRIMARY KEY,
    showtime_id  bigint NOT NULL REFERENCES showtimes,
    seat_index   integer NOT NULL,
    seat         text NOT NULL,
    tier         text NOT NULL,
    booking_id   uuid NOT NULL REFERENCES bookings,
    gateway      text NOT NULL,
    session_id   text NOT NULL,
    sale_number  bigint NOT NULL,
    subject      text NOT NULL,
    price_minor  bigint NOT NULL,
    currency     char(3) NOT NULL,
    status       text NOT NULL CHECK (status IN ('SOLD', 'USED', 'REFUNDED')),
    sold_at      timestamptz NOT NULL,
    -- Set when the seat must go back to stock; cleared when Redis has it again.
    restock_due  timestamptz,
    UNIQUE (session_id, seat_index)
);
-- PostgreSQL has the last word: no seat of a showtime has two live tickets.
CREATE UNIQUE INDEX tickets_live_seat ON tickets (showtime_id, seat_index) WHERE status IN ('SOLD', 'USED');
CREATE INDEX tickets_by_booking ON tickets (booking_id);
CREATE INDEX tickets_restock_due ON tickets (restock_due) WHERE restock_due IS NOT NULL;

CREATE TABLE refunds (
    id           uuid PRIMARY KEY,
    business_id  text NOT NULL UNIQUE,
    gateway      text NOT NULL,
    session_id   text NOT NULL,
    booking_id   uuid REFERENCES bookings,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency     char(3) NOT NULL,
    reason       text NOT NULL,
    status       text NOT NULL DEFAULT 'QUEUED' CHECK (status IN ('QUEUED', 'PROCESSING', 'SETTLED', 'MANUAL')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (gateway, session_id) REFERENCES captures
);
CREATE INDEX refunds_open ON refunds (created_at) WHERE status IN ('QUEUED', 'PROCESSING');
CREATE INDEX refunds_by_booking ON refunds (booking_id);

-- What a person has to look at. Open until somebody closes it.
CREATE TABLE cases (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    business_id text NOT NULL UNIQUE,
    kind        text NOT NULL,
    showtime_id bigint,
    booking_id  uuid,
    session_id  text,
    details     jsonb NOT NULL DEFAULT '{}',
    opened_at   timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz
);

-- Every fact that the ledger has applied, in the order of its showtime and generation.
CREATE TABLE facts (
    showtime_id bigint NOT NULL,
    generation  integer NOT NULL,
    seq         bigint NOT NULL,
    kind        text NOT NULL,
    business_id text NOT NULL,
    happened_at timestamptz NOT NULL,
    data        jsonb NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (showtime_id, generation, seq)
);
CREATE INDEX facts_by_business_id ON facts (business_id, kind);

-- Workers and their heartbeats; a stale one loses its sessions, and with them its partitions.
CREATE TABLE workers (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    backend    integer NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT now()
);

-- Seats that operators took out of sale.
CREATE TABLE blocks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    showtime_id bigint NOT NULL REFERENCES showtimes,
    reason      text NOT NULL,
    channel     text,
    release_at  timestamptz,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- Redis has the block; a row without it is applied again by the worker.
    applied_at  timestamptz,
    released_at timestamptz
);
CREATE INDEX blocks_release_due ON blocks (release_at) WHERE released_at IS NULL;

CREATE TABLE block_seats (
    block_id    bigint NOT NULL REFERENCES blocks ON DELETE CASCADE,
    showtime_id bigint NOT NULL,
    seat_index  integer NOT NULL,
    seat        text NOT NULL,
    live        boolean NOT NULL DEFAULT true,
    PRIMARY KEY (block_id, seat_index)
);
CREATE UNIQUE INDEX block_seats_live ON block_seats (showtime_id, seat_index) WHERE live;
