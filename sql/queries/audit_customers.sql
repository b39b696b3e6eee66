-- What the customers of some showtimes bought: live tickets, those whose seats are on their way back, all that ever were.
SELECT bookings.showtime_id, tickets.subject,
       count(*) FILTER (WHERE tickets.status IN ('SOLD', 'USED')) AS live,
       count(*) FILTER (WHERE tickets.restock_due IS NOT NULL) AS leaving, count(*) AS ever
FROM bookings JOIN tickets ON tickets.booking_id = bookings.id
WHERE bookings.showtime_id = ANY ($1::bigint[]) GROUP BY bookings.showtime_id, tickets.subject;
