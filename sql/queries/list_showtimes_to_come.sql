-- Gives the numbers of a cinema's showtimes that have not ended and are not cancelled.
SELECT s.id
FROM showtimes s
JOIN auditoriums a ON a.id = s.auditorium_id
WHERE a.cinema_id = $1 AND s.ends_at > now() AND s.status <> 'CANCELLED'
ORDER BY s.starts_at;
