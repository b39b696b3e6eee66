-- Reads one auditorium with its present layout.
SELECT a.id, a.name, a.cinema_id, c.name AS cinema, a.layout_id, l.name AS layout, l.seat_count, l.tiers
FROM auditoriums a
JOIN cinemas c ON c.id = a.cinema_id
JOIN layouts l ON l.id = a.layout_id
WHERE a.id = $1;
