-- Reads one showtime with its place and film.
SELECT * FROM programme WHERE id = $1;
