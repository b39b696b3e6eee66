-- Bookings of some showtimes whose status their tickets contradict.
SELECT 'booking_status' AS kind, bookings.showtime_id AS showtime, 'booking ' || bookings.id AS place,
       CASE WHEN bookings.status = 'CONFIRMED' THEN 'live tickets, since it is CONFIRMED'
            ELSE 'no live ticket, since it is ' || bookings.status END AS expected,
       counted.live || ' of ' || counted.tickets || ' live' AS found
FROM bookings CROSS JOIN LATERAL (
    SELECT count(*) AS tickets, count(*) FILTER (WHERE tickets.status IN ('SOLD', 'USED')) AS live
    FROM tickets WHERE tickets.booking_id = bookings.id
) AS counted
WHERE bookings.showtime_id = ANY ($1::bigint[]) AND (bookings.status = 'CONFIRMED') <> (counted.live > 0);
