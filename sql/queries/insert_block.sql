-- Enter a block of seats before Redis hears of it.
INSERT INTO blocks (showtime_id, reason, channel, evict, release_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING id;
