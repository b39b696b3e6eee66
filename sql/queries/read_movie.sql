-- Reads one movie.
SELECT m.id, m.slug, m.title, m.synopsis, m.duration_minutes, m.rating, m.genres,
       (SELECT count(*) FROM showtimes s WHERE s.movie_id = m.id AND s.ends_at > now()) AS showtimes
FROM movies m
WHERE m.id = $1;
