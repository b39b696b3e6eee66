-- Refunds on their way to the gateway, and the announcements of what has happened.

-- Each is tried a few times, later each time, and then is a matter for a person.
DROP INDEX refunds_open;
ALTER TABLE refunds
    -- What the customer or the cinema wrote; `reason` is a word.
    ADD COLUMN comment        text,
    ADD COLUMN attempts       integer NOT NULL DEFAULT 0,
    -- When the worker asks the gateway next; NULL when nothing is to be asked any more.
    ADD COLUMN due_at         timestamptz DEFAULT now(),
    ADD COLUMN gateway_refund text,
    ADD COLUMN failure_code   text,
    -- Who settled it by hand, and what they wrote.
    ADD COLUMN settled_by     text,
    ADD COLUMN note           text,
    ADD COLUMN settled_at     timestamptz;
UPDATE refunds SET due_at = NULL WHERE status IN ('SETTLED', 'MANUAL');
UPDATE refunds SET settled_at = updated_at WHERE status = 'SETTLED';
ALTER TABLE refunds
    ADD CHECK ((due_at IS NOT NULL) = (status IN ('QUEUED', 'PROCESSING'))),
    ADD CHECK ((settled_at IS NOT NULL) = (status = 'SETTLED'));
CREATE INDEX refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX refunds_by_status ON refunds (status, created_at DESC, id DESC);

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
