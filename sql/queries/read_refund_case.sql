-- All that a refund of a booking's tickets is judged on; the clock is the database's, read when the statement runs.
SELECT b.subject, b.status AS booking_status, s.status AS showtime_status, s.starts_at, statement_timestamp() AS now,
       b.currency, s.policy, c.policy AS cinema_policy,
       (SELECT tickets FROM booking_records WHERE booking_records.id = b.id) AS tickets
FROM bookings b
JOIN showtimes s ON s.id = b.showtime_id
JOIN auditoriums a ON a.id = s.auditorium_id
JOIN cinemas c ON c.id = a.cinema_id
WHERE b.id = $1;
