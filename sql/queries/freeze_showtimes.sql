-- Freezes every open showtime that has not ended, of one cinema or of all; gives the numbers of all that are frozen
-- now, those from before too, so that a repeat tells Redis again.
WITH scope AS (
    SELECT s.id, s.status
    FROM showtimes s
    JOIN auditoriums a ON a.id = s.auditorium_id
    WHERE s.ends_at > now()
      AND s.status <> 'CANCELLED'
      AND ($1::integer IS NULL OR a.cinema_id = $1)
), changed AS (
    UPDATE showtimes s SET status = 'FROZEN', status_reason = $2
    FROM scope
    WHERE s.id = scope.id AND s.status = 'OPEN'
    RETURNING s.id
)
SELECT id FROM changed
UNION
SELECT id FROM scope WHERE status = 'FROZEN'
ORDER BY id;
