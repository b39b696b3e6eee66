-- The whole schema as all migrations leave it, for reading; a test compares the two. Migrations are what is run.

-- Cities, cinemas, layouts, auditoriums, movies, showtimes.

CREATE TABLE cities (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug     text NOT NULL UNIQUE,
    name     text NOT NULL,
    timezone text NOT NULL
);

CREATE TABLE cinemas (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    city_id  integer NOT NULL REFERENCES cities,
    slug     text NOT NULL UNIQUE,
    name     text NOT NULL,
    address  text NOT NULL DEFAULT '',
    timezone text NOT NULL,
    policy   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX cinemas_by_city ON cinemas (city_id);

-- A layout never changes: a changed hall is another layout. Its id is the version on the wire.
CREATE TABLE layouts (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest     text NOT NULL UNIQUE,
    name       text NOT NULL,
    seat_count integer NOT NULL CHECK (seat_count BETWEEN 1 AND 65000),
    tiers      text[] NOT NULL,
    body       jsonb NOT NULL
);

CREATE TABLE auditoriums (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cinema_id integer NOT NULL REFERENCES cinemas,
    name      text NOT NULL,
    layout_id integer NOT NULL REFERENCES layouts,
    UNIQUE (cinema_id, name)
);

CREATE TABLE movies (
    id               integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug             text NOT NULL UNIQUE,
    title            text NOT NULL,
    synopsis         text NOT NULL DEFAULT '',
    duration_minutes integer NOT NULL CHECK (duration_minutes BETWEEN 1 AND 1000),
    rating           text NOT NULL DEFAULT '',
    genres           text[] NOT NULL DEFAULT '{}'
);

-- The showtime's number is the low 32 bits of every hold id.
CREATE TABLE showtimes (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295),
    auditorium_id integer NOT NULL REFERENCES auditoriums,
    movie_id      integer NOT NULL REFERENCES movies,
    layout_id     integer NOT NULL REFERENCES layouts,
    starts_at     timestamptz NOT NULL,
    ends_at       timestamptz NOT NULL,
    sales_open_at timestamptz NOT NULL,
    sales_stop_at timestamptz NOT NULL,
    -- OPEN covers SCHEDULED, ON_SALE and ENDED, which follow from the clock.
    status        text NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'FROZEN', 'CANCELLED')),
    status_reason text,
    prices        jsonb NOT NULL,
    currency      char(3) NOT NULL,
    policy        jsonb NOT NULL DEFAULT '{}',
    -- How often its seats were loaded into Redis; the high byte of owner numbers.
    load_count    integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CHECK (ends_at > starts_at),
    CHECK (sales_stop_at <= ends_at),
    CHECK (sales_open_at < sales_stop_at),
    -- One film at a time in an auditorium; the next may begin the moment this one ends. A range of one integer
    -- stands for equality, so that no extension is needed.
    CONSTRAINT showtimes_apart EXCLUDE USING gist (
        int4range(auditorium_id, auditorium_id, '[]') WITH &&,
        tstzrange(starts_at, ends_at) WITH &&
    ) WHERE (status <> 'CANCELLED')
);
CREATE INDEX showtimes_by_auditorium ON showtimes (auditorium_id, starts_at);
CREATE INDEX showtimes_by_movie ON showtimes (movie_id, starts_at);
CREATE INDEX showtimes_by_start ON showtimes (starts_at);

-- A showtime with its place and film: what every reader of one or of many needs.
CREATE VIEW programme AS
SELECT s.id, s.status, s.status_reason, s.starts_at, s.ends_at, s.sales_open_at, s.sales_stop_at,
       s.layout_id, s.prices, s.currency, s.policy, c.policy AS cinema_policy,
       s.auditorium_id, a.name AS auditorium, a.cinema_id, c.name AS cinema, c.slug AS cinema_slug,
       t.name AS city, t.slug AS city_slug, t.id AS city_id, c.timezone,
       s.movie_id, m.title AS movie, m.slug AS movie_slug, m.rating, m.duration_minutes,
       l.seat_count
FROM showtimes s
JOIN auditoriums a ON a.id = s.auditorium_id
JOIN cinemas c ON c.id = a.cinema_id
JOIN cities t ON t.id = c.city_id
JOIN movies m ON m.id = s.movie_id
JOIN layouts l ON l.id = s.layout_id;

-- What requests with an Idempotency-Key were answered, for 24 hours; written with their effect.
CREATE TABLE requests (
    id          text PRIMARY KEY,
    fingerprint text NOT NULL,
    answer      jsonb NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX requests_by_age ON requests (made_at);

-- Users and what they may do. Guests have no row: their token alone says who they are.

CREATE TABLE users (
    id            uuid PRIMARY KEY,
    -- Normalised by the application (lower case), so that one address is one account.
    email         text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    name          text NOT NULL DEFAULT '',
    phone         text,
    locale        text NOT NULL DEFAULT 'id',
    role          text NOT NULL CHECK (role IN ('customer', 'staff', 'admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- Counts changes of the password: a refresh token of an earlier one renews nothing.
    credentials   integer NOT NULL DEFAULT 1
);

CREATE TABLE staff_cinemas (
    user_id   uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    cinema_id integer NOT NULL REFERENCES cinemas,
    manager   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, cinema_id)
);

-- Every act of an operator: who, when, why.
CREATE TABLE acts (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor    text NOT NULL,
    verb     text NOT NULL,
    subject  text NOT NULL,
    reason   text NOT NULL DEFAULT '',
    details  jsonb NOT NULL DEFAULT '{}',
    acted_at timestamptz NOT NULL DEFAULT now()
);

-- Bookings, payments, captures, tickets, refunds, facts: the durable ledger.

-- Unix time in ms, as every record outside PostgreSQL has it.
CREATE FUNCTION unix_ms(moment timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (extract(epoch FROM moment) * 1000)::bigint;

-- One row; compared at start.
CREATE TABLE deployment (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    partitions integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Each life of a Redis node that was ever seen. A new pair means that memory may have been lost. On a cluster each stay
-- of a partition on a node is a life of its own: returning begins another one, so that the generations of a showtime
-- only grow.
CREATE TABLE generations (
    generation        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id            text NOT NULL,
    replication_id    text NOT NULL,
    seen_at           timestamptz NOT NULL DEFAULT now(),
    -- The partition that came to that node; NULL where one Redis has everything.
    partition         smallint
);
CREATE INDEX generations_of_servers ON generations (generation) WHERE partition IS NULL;
CREATE INDEX generations_of_partitions ON generations (partition, generation) WHERE partition IS NOT NULL;

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
    updated_at    timestamptz NOT NULL DEFAULT now(),
    -- What the customer wrote; `status_reason` is a word.
    comment       text,
    -- When the worker looks next at an overdue booking whose end could not be settled; NULL before its first look.
    look_due      timestamptz,
    -- When the seats of an ended booking were removed; the booking itself stays.
    archived_at   timestamptz
);
-- A booking's id begins with its time, so that this index also gives a customer's newest first.
CREATE INDEX bookings_by_subject ON bookings (subject, id DESC);
CREATE INDEX bookings_by_showtime ON bookings (showtime_id, status);
-- Whatever comes later: its deadline, or the next look. (GREATEST passes over NULL.)
CREATE INDEX bookings_pending ON bookings (greatest(expires_at, look_due)) WHERE status = 'PENDING';
CREATE INDEX bookings_to_archive ON bookings (updated_at)
    WHERE status IN ('EXPIRED', 'CANCELLED') AND archived_at IS NULL;

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
-- Which of the gateway's own payments paid a session.
CREATE INDEX payment_events_by_session ON payment_events (gateway, session_id);

-- How far each gateway was asked what has happened there, so that a lost webhook loses nothing.
CREATE TABLE gateway_cursors (
    gateway     text PRIMARY KEY,
    -- By the gateway's clock: what happened before is in the ledger.
    asked_until timestamptz NOT NULL,
    -- When the gateway is asked next; moved on by the worker that does it.
    due_at      timestamptz NOT NULL DEFAULT now()
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
    -- When the worker looks at it next, as long as it has no outcome.
    settle_due   timestamptz NOT NULL DEFAULT now() + interval '10 seconds',
    tries        integer NOT NULL DEFAULT 0,
    PRIMARY KEY (gateway, session_id),
    CHECK ((outcome IS NULL) = (outcome_at IS NULL))
);
CREATE INDEX captures_open ON captures (settle_due) WHERE outcome IS NULL;
CREATE INDEX captures_by_booking ON captures (booking_id);

CREATE TABLE tickets (
    id           uuid PRIMARY KEY,
    -- Its booking's, whose foreign key stands; the audit compares them.
    showtime_id  bigint NOT NULL,
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
    -- When the worker gives the seat back to stock next; NULL when there is nothing to give back.
    restock_due  timestamptz,
    CHECK (restock_due IS NULL OR status = 'REFUNDED'),
    UNIQUE (gateway, session_id, seat_index)
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
    -- What the customer or the cinema wrote; `reason` is a word.
    comment        text,
    attempts       integer NOT NULL DEFAULT 0,
    -- When the worker asks the gateway next; NULL when nothing is to be asked any more.
    due_at         timestamptz DEFAULT now(),
    gateway_refund text,
    failure_code   text,
    -- Who settled it by hand, and what they wrote.
    settled_by     text,
    note           text,
    settled_at     timestamptz,
    -- Attempts that were made before an operator last asked for more; those after them count towards the limit.
    attempts_before integer NOT NULL DEFAULT 0,
    FOREIGN KEY (gateway, session_id) REFERENCES captures,
    CHECK ((due_at IS NOT NULL) = (status IN ('QUEUED', 'PROCESSING'))),
    CHECK ((settled_at IS NOT NULL) = (status = 'SETTLED'))
);
CREATE INDEX refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX refunds_by_status ON refunds (status, created_at DESC, id DESC);
CREATE INDEX refunds_by_booking ON refunds (booking_id);
CREATE INDEX refunds_by_session ON refunds (gateway, session_id);

-- What goes back for a capture is never more than what came. The lock makes two refunds of one capture wait
-- for each other; it does not conflict with the lock that the foreign key takes.
CREATE FUNCTION refunds_within_capture() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    captured captures%ROWTYPE;
    refunded numeric;
BEGIN
    SELECT * INTO captured FROM captures
    WHERE gateway = NEW.gateway AND session_id = NEW.session_id FOR NO KEY UPDATE;
    SELECT sum(amount_minor) INTO refunded FROM refunds
    WHERE gateway = NEW.gateway AND session_id = NEW.session_id;
    IF refunded > captured.amount_minor OR NEW.currency <> captured.currency THEN
        RAISE EXCEPTION 'refunds of % % would be % of % %',
            NEW.gateway, NEW.session_id, refunded, captured.amount_minor, captured.currency
            USING ERRCODE = 'check_violation', CONSTRAINT = 'refunds_within_capture';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER refunds_within_capture AFTER INSERT OR UPDATE OF amount_minor, currency ON refunds
    FOR EACH ROW EXECUTE FUNCTION refunds_within_capture();

-- Every time that a gateway was asked; `ended_at` NULL: the answer is not known (yet).
CREATE TABLE refund_attempts (
    refund_id uuid NOT NULL REFERENCES refunds,
    attempt   integer NOT NULL CHECK (attempt > 0),
    begun_at  timestamptz NOT NULL DEFAULT now(),
    ended_at  timestamptz,
    outcome   text CHECK (outcome IN ('SETTLED', 'PENDING', 'FAILED', 'UNKNOWN')),
    error     text,
    PRIMARY KEY (refund_id, attempt),
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);

-- Which tickets a refund pays back, and how much for each. Refunds of money that bought nothing have none.
CREATE TABLE refund_tickets (
    refund_id    uuid NOT NULL REFERENCES refunds,
    ticket_id    uuid NOT NULL REFERENCES tickets,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    PRIMARY KEY (refund_id, ticket_id)
);
CREATE INDEX refund_tickets_by_ticket ON refund_tickets (ticket_id);

-- Showtimes that a cinema has cancelled, and what is still to be done about them.
CREATE TABLE cancellations (
    showtime_id   bigint PRIMARY KEY REFERENCES showtimes,
    reason        text NOT NULL,
    cancelled_by  text NOT NULL,
    cancelled_at  timestamptz NOT NULL DEFAULT now(),
    -- What it met: bookings with tickets or waiting for money, live tickets, and the money to go back, by currency.
    bookings      integer NOT NULL,
    tickets       integer NOT NULL,
    money         jsonb NOT NULL,
    -- When Redis was told, so that nothing is claimed or sold any more.
    closed_at     timestamptz,
    -- When a worker looks at it next; NULL once nothing is left but the refunds' way to the gateway.
    due_at        timestamptz DEFAULT now(),
    done_at       timestamptz,
    CHECK ((done_at IS NULL) = (due_at IS NOT NULL))
);
CREATE INDEX cancellations_due ON cancellations (due_at) WHERE due_at IS NOT NULL;

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
CREATE INDEX cases_open ON cases (id DESC) WHERE closed_at IS NULL;

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

-- The last seq that the ledger has applied; `facts` has no gap below it.
CREATE TABLE fact_heads (
    showtime_id bigint NOT NULL,
    generation  integer NOT NULL,
    seq         bigint NOT NULL,
    PRIMARY KEY (showtime_id, generation)
) WITH (fillfactor = 50);

-- Showtimes whose seats in Redis are not to be trusted: frozen until they were built again from the ledger.
CREATE TABLE rebuilds (
    showtime_id bigint PRIMARY KEY,
    reason      text NOT NULL,
    -- false: an operator must look first, and start it.
    automatic   boolean NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    -- When a worker last froze or built it; the next may try some seconds later.
    tried_at    timestamptz
);

-- Workers and their heartbeats; a stale one loses its session, and with it its partitions.
CREATE TABLE workers (
    id      uuid PRIMARY KEY,
    name    text NOT NULL,
    backend integer NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- Seats that operators took out of sale.
CREATE TABLE blocks (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    showtime_id bigint NOT NULL REFERENCES showtimes,
    reason      text NOT NULL,
    channel     text,
    evict       boolean NOT NULL DEFAULT false,
    release_at  timestamptz,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz,
    -- When the worker tells Redis of the block, or of its end; NULL when Redis knows.
    apply_due   timestamptz DEFAULT now() + interval '5 seconds'
);
CREATE INDEX blocks_by_showtime ON blocks (showtime_id, id);
CREATE INDEX blocks_release_due ON blocks (release_at) WHERE released_at IS NULL;
CREATE INDEX blocks_apply_due ON blocks (apply_due) WHERE apply_due IS NOT NULL;

CREATE TABLE block_seats (
    block_id    bigint NOT NULL REFERENCES blocks ON DELETE CASCADE,
    showtime_id bigint NOT NULL,
    seat_index  integer NOT NULL,
    seat        text NOT NULL,
    live        boolean NOT NULL DEFAULT true,
    PRIMARY KEY (block_id, seat_index)
);
CREATE UNIQUE INDEX block_seats_live ON block_seats (showtime_id, seat_index) WHERE live;

-- What has happened that somebody may want to be told of, once per business id. Mails and outgoing webhooks are
-- made of it by the worker. The ledger writes it by itself, in the transaction of the change, whoever makes it:
-- no way of ending a booking or a refund can forget to say so.
CREATE TABLE announcements (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Names the event outside, the same however often it is sent.
    event_id    uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    business_id text NOT NULL UNIQUE,
    type        text NOT NULL,
    showtime_id bigint,
    booking_id  uuid,
    refund_id   uuid,
    data        jsonb NOT NULL DEFAULT '{}',
    happened_at timestamptz NOT NULL DEFAULT now(),
    -- When it was turned into mails and deliveries; NULL until then.
    spread_at   timestamptz
);
CREATE INDEX announcements_unspread ON announcements (id) WHERE spread_at IS NULL;
CREATE INDEX announcements_spread ON announcements (spread_at) WHERE spread_at IS NOT NULL;

CREATE FUNCTION announce_new_bookings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO announcements (business_id, type, showtime_id, booking_id, data)
    SELECT 'booking.' || lower(fresh.status) || ':' || fresh.id, 'booking.' || lower(fresh.status),
           fresh.showtime_id, fresh.id, jsonb_build_object('status_reason', fresh.status_reason)
    FROM fresh WHERE fresh.status <> 'PENDING'
    ON CONFLICT (business_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_new_bookings AFTER INSERT ON bookings REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION announce_new_bookings();

CREATE FUNCTION announce_bookings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO announcements (business_id, type, showtime_id, booking_id, data)
    SELECT 'booking.' || lower(fresh.status) || ':' || fresh.id, 'booking.' || lower(fresh.status),
           fresh.showtime_id, fresh.id,
           jsonb_build_object('status_reason', fresh.status_reason, 'status_before', former.status)
    FROM fresh JOIN former USING (id)
    WHERE fresh.status <> former.status AND fresh.status <> 'PENDING'
    ON CONFLICT (business_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_bookings AFTER UPDATE ON bookings
    REFERENCING OLD TABLE AS former NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION announce_bookings();

CREATE FUNCTION announce_new_refunds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO announcements (business_id, type, showtime_id, booking_id, refund_id, data)
    SELECT 'refund.queued:' || fresh.id, 'refund.queued', bookings.showtime_id, fresh.booking_id, fresh.id,
           jsonb_build_object('reason', fresh.reason)
    FROM fresh LEFT JOIN bookings ON bookings.id = fresh.booking_id
    ON CONFLICT (business_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_new_refunds AFTER INSERT ON refunds REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION announce_new_refunds();

-- A refund that fails again after an operator's retry is announced again.
CREATE FUNCTION announce_refunds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO announcements (business_id, type, showtime_id, booking_id, refund_id, data)
    SELECT 'refund.' || lower(fresh.status) || ':' || fresh.id
               || CASE fresh.status WHEN 'MANUAL' THEN ':' || fresh.attempts ELSE '' END,
           'refund.' || lower(fresh.status), bookings.showtime_id, fresh.booking_id, fresh.id,
           jsonb_build_object('reason', fresh.reason)
    FROM fresh JOIN former USING (id) LEFT JOIN bookings ON bookings.id = fresh.booking_id
    WHERE fresh.status <> former.status AND fresh.status IN ('SETTLED', 'MANUAL')
    ON CONFLICT (business_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_refunds AFTER UPDATE ON refunds
    REFERENCING OLD TABLE AS former NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION announce_refunds();

CREATE FUNCTION announce_showtimes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO announcements (business_id, type, showtime_id, data)
    SELECT 'showtime.cancelled:' || fresh.id, 'showtime.cancelled', fresh.id,
           jsonb_build_object('status_reason', fresh.status_reason)
    FROM fresh JOIN former USING (id)
    WHERE fresh.status <> former.status AND fresh.status = 'CANCELLED'
    ON CONFLICT (business_id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce_showtimes AFTER UPDATE ON showtimes
    REFERENCING OLD TABLE AS former NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION announce_showtimes();

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
CREATE INDEX notifications_ended ON notifications (ended_at) WHERE status IN ('SENT', 'SUPERSEDED');

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
CREATE INDEX reminders_done ON reminders (created_at) WHERE due_at IS NULL;

-- The same rows as the ledger's callers read them: times in ms, lists oldest first.
CREATE VIEW payment_records AS
SELECT session_id, gateway, booking_id, status, amount_minor, currency, payment_url, return_url,
       cancel_url, failure_code, unix_ms(expires_at) AS expires_at_ms, unix_ms(created_at) AS created_at_ms
FROM payments;

CREATE VIEW capture_records AS
SELECT captures.gateway, captures.session_id, captures.amount_minor, captures.currency,
       unix_ms(captures.captured_at) AS captured_at_ms, captures.outcome, captures.booking_id,
       bookings.showtime_id AS showtime, bookings.subject,
       ARRAY(SELECT seat_index FROM booking_seats WHERE booking_seats.booking_id = captures.booking_id
             ORDER BY seat_index) AS seats
FROM captures LEFT JOIN bookings ON bookings.id = captures.booking_id;

-- A refund as operators read it.
CREATE VIEW refund_records AS
SELECT refunds.id, refunds.business_id, refunds.gateway, refunds.session_id, refunds.booking_id,
       bookings.showtime_id AS showtime, auditoriums.cinema_id, refunds.amount_minor, refunds.currency,
       refunds.reason, refunds.comment, refunds.status, refunds.attempts, refunds.gateway_refund,
       refunds.failure_code, refunds.settled_by, refunds.note, unix_ms(refunds.due_at) AS due_at_ms,
       unix_ms(refunds.created_at) AS created_at_ms, unix_ms(refunds.updated_at) AS updated_at_ms,
       unix_ms(refunds.settled_at) AS settled_at_ms,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', tickets.id, 'seat', tickets.seat,
                                                     'amount_minor', refund_tickets.amount_minor)
                                  ORDER BY tickets.seat_index), '[]')
        FROM refund_tickets JOIN tickets ON tickets.id = refund_tickets.ticket_id
        WHERE refund_tickets.refund_id = refunds.id) AS tickets
FROM refunds
LEFT JOIN bookings ON bookings.id = refunds.booking_id
LEFT JOIN showtimes ON showtimes.id = bookings.showtime_id
LEFT JOIN auditoriums ON auditoriums.id = showtimes.auditorium_id;

CREATE VIEW booking_records AS
SELECT id, showtime_id AS showtime, subject, email, phone, locale, status, status_reason, amount_minor,
       currency, unix_ms(expires_at) AS expires_at_ms, unix_ms(created_at) AS created_at_ms,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('index', seat_index, 'seat', seat, 'tier', tier,
                                                     'price_minor', price_minor) ORDER BY seat_index), '[]')
        FROM booking_seats WHERE booking_id = bookings.id) AS seats,
       (SELECT coalesce(jsonb_agg(to_jsonb(payment_records) ORDER BY created_at_ms, session_id), '[]')
        FROM payment_records WHERE booking_id = bookings.id) AS payments,
       (SELECT coalesce(jsonb_agg(to_jsonb(capture_records) ORDER BY captured_at_ms, session_id), '[]')
        FROM capture_records WHERE booking_id = bookings.id) AS captures,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'seat_index', seat_index, 'seat', seat, 'tier', tier,
                                                     'price_minor', price_minor, 'currency', currency,
                                                     'status', status, 'session_id', session_id,
                                                     'sale_number', sale_number, 'sold_at_ms', unix_ms(sold_at))
                                  ORDER BY sold_at, seat_index), '[]')
        FROM tickets WHERE booking_id = bookings.id) AS tickets,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'session_id', session_id,
                                                     'amount_minor', amount_minor, 'currency', currency,
                                                     'reason', reason, 'comment', comment, 'status', status,
                                                     'created_at_ms', unix_ms(created_at),
                                                     'updated_at_ms', unix_ms(updated_at),
                                                     'settled_at_ms', unix_ms(settled_at),
                                                     'tickets',
                                                     (SELECT coalesce(jsonb_agg(refund_tickets.ticket_id
                                                                                ORDER BY tickets.seat_index), '[]')
                                                      FROM refund_tickets
                                                      JOIN tickets ON tickets.id = refund_tickets.ticket_id
                                                      WHERE refund_tickets.refund_id = refunds.id))
                                  ORDER BY created_at, id), '[]')
        FROM refunds WHERE booking_id = bookings.id) AS refunds,
       comment
FROM bookings;

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
CREATE INDEX webhook_deliveries_by_announcement ON webhook_deliveries (announcement_id);

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

-- Each time that a ticket was used. What staff took back stays, with who did, and why.
CREATE TABLE check_ins (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id   uuid NOT NULL REFERENCES tickets,
    gate        text NOT NULL,
    checked_by  text NOT NULL,
    used_at     timestamptz NOT NULL DEFAULT now(),
    undone_at   timestamptz,
    undone_by   text,
    undo_reason text,
    CHECK ((undone_at IS NULL) = (undone_by IS NULL)),
    CHECK ((undone_at IS NULL) = (undo_reason IS NULL))
);
-- A ticket is valid once.
CREATE UNIQUE INDEX check_ins_live ON check_ins (ticket_id) WHERE undone_at IS NULL;

-- A ticket as the door sees it.
CREATE VIEW door_ticket_records AS
SELECT t.id, t.seat_index, t.seat, t.tier, t.price_minor, t.currency, t.status, t.session_id, t.sale_number,
       unix_ms(t.sold_at) AS sold_at_ms, t.showtime_id AS showtime, t.booking_id, b.locale,
       s.status AS showtime_status, unix_ms(s.starts_at) AS starts_at_ms, c.gate, unix_ms(c.used_at) AS used_at_ms
FROM tickets t
JOIN bookings b ON b.id = t.booking_id
JOIN showtimes s ON s.id = t.showtime_id
LEFT JOIN check_ins c ON c.ticket_id = t.id AND c.undone_at IS NULL;
