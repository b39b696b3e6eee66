-- Take cancellations that are not done. After a second, later if it lasts, they are given again: to another worker too,
-- which then shares the work, or goes on with that of one that died.
WITH due AS (
    SELECT showtime_id FROM cancellations WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE cancellations
SET due_at = now() + least(greatest((now() - cancelled_at) / 20, interval '1 second'), interval '1 minute')
FROM due WHERE cancellations.showtime_id = due.showtime_id
RETURNING cancellations.showtime_id, cancellations.closed_at IS NOT NULL AS closed;
