-- Freezes every open showtime that has not ended, of one cinema or of all; gives their numbers.
UPDATE showtimes s SET status = 'FROZEN', status_reason = $2
FROM auditoriums a
WHERE a.id = s.auditorium_id
  AND s.status = 'OPEN'
  AND s.ends_at > now()
  AND ($1::integer IS NULL OR a.cinema_id = $1)
RETURNING s.id;
