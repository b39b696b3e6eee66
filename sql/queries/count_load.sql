-- Count one more load of a showtime.
UPDATE showtimes SET load_count = load_count + 1 WHERE id = $1 RETURNING load_count;
