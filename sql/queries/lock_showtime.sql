-- Locks a showtime against new bookings and other changes; a booking's foreign key waits for this lock.
SELECT s.*, l.tiers, c.policy AS cinema_policy, a.cinema_id, clock_timestamp() AS now
FROM showtimes s
JOIN layouts l ON l.id = s.layout_id
JOIN auditoriums a ON a.id = s.auditorium_id
JOIN cinemas c ON c.id = a.cinema_id
WHERE s.id = $1
FOR UPDATE OF s;
