-- Gives the length of movies in minutes.
SELECT id, duration_minutes FROM movies WHERE id = ANY ($1);
