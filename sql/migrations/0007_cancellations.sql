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
