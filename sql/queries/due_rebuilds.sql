-- Take showtimes that must be frozen or built anew, each for one worker; given again after 15 s.
WITH due AS (
    SELECT showtime_id FROM rebuilds WHERE tried_at IS NULL OR tried_at < now() - interval '15 seconds'
    ORDER BY asked_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE rebuilds SET tried_at = now() FROM due WHERE rebuilds.showtime_id = due.showtime_id
RETURNING rebuilds.showtime_id, rebuilds.reason, rebuilds.automatic;
