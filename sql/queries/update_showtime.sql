-- Writes the new times, film, prices and policy of a showtime that is locked.
UPDATE showtimes
SET movie_id = $2, starts_at = $3, ends_at = $4, sales_open_at = $5, sales_stop_at = $6, prices = $7, policy = $8
WHERE id = $1;
