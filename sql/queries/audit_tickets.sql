-- Tickets of some showtimes that no money pays for, or that are not what their booking says.
WITH live AS (
    SELECT tickets.*, bookings.showtime_id AS booked_showtime, bookings.subject AS booked_subject,
           captures.outcome, captures.booking_id AS captured_for, captures.session_id IS NOT NULL AS captured,
           booking_seats.seat AS booked_seat, booking_seats.price_minor AS booked_price
    FROM bookings JOIN tickets ON tickets.booking_id = bookings.id
    LEFT JOIN captures ON captures.gateway = tickets.gateway AND captures.session_id = tickets.session_id
    LEFT JOIN booking_seats ON booking_seats.booking_id = bookings.id
                           AND booking_seats.seat_index = tickets.seat_index
    WHERE bookings.showtime_id = ANY ($1::bigint[]) AND tickets.status IN ('SOLD', 'USED')
)
SELECT 'ticket_without_capture' AS kind, booked_showtime AS showtime, 'ticket ' || id AS place,
       'a capture of its booking with the outcome TICKETS' AS expected,
       CASE WHEN NOT captured THEN 'none' WHEN captured_for IS DISTINCT FROM booking_id THEN 'one of another booking'
            ELSE coalesce(outcome, 'one without an outcome') END AS found
FROM live WHERE outcome IS DISTINCT FROM 'TICKETS' OR captured_for IS DISTINCT FROM booking_id
UNION ALL
SELECT 'ticket_differs', booked_showtime, 'ticket ' || id,
       concat_ws(' ', booked_showtime, booked_seat, booked_price, booked_subject),
       concat_ws(' ', showtime_id, seat, price_minor, subject)
FROM live WHERE (booked_showtime, booked_seat, booked_price, booked_subject)
                IS DISTINCT FROM (showtime_id, seat, price_minor, subject);
