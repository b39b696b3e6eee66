-- Refunds that an operator has tried again, and what customers wrote when they cancelled.

-- Attempts that were made before an operator last asked for more; those after them count towards the limit.
ALTER TABLE refunds ADD COLUMN attempts_before integer NOT NULL DEFAULT 0;
-- What the customer wrote; `status_reason` is a word.
ALTER TABLE bookings ADD COLUMN comment text;

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

CREATE OR REPLACE VIEW booking_records AS
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
