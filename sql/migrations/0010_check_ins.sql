-- Tickets at the door: who was let in, where and when.

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
