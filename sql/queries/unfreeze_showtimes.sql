-- Opens every frozen showtime that has not ended, of one cinema or of all, but for those that wait to be built again;
-- gives the numbers of all that are open now, those from before too, so that a repeat tells Redis again.
WITH scope AS (
    SELECT s.id, s.status
    FROM showtimes s
    JOIN auditoriums a ON a.id = s.auditorium_id
    WHERE s.ends_at > now()
      AND s.status <> 'CANCELLED'
      AND ($1::integer IS NULL OR a.cinema_id = $1)
      AND NOT EXISTS (SELECT FROM rebuilds r WHERE r.showtime_id = s.id)
), changed AS (
    UPDATE showtimes s SET status = 'OPEN', status_reason = NULL
    FROM scope
    WHERE s.id = scope.id AND s.status = 'FROZEN'
    RETURNING s.id
)
SELECT id FROM changed
UNION
SELECT id FROM scope WHERE status = 'OPEN'
ORDER BY id;
