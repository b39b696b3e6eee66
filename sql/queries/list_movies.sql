-- Lists all movies by title, showing or not. $1 and $2 are the last row of the page before, $3 the limit.
SELECT m.id, m.slug, m.title, m.synopsis, m.duration_minutes, m.rating, m.genres,
       (SELECT count(*) FROM showtimes s WHERE s.movie_id = m.id AND s.ends_at > now()) AS showtimes
FROM movies m
WHERE (m.title COLLATE "C", m.id) > ($1 COLLATE "C", $2::integer)
ORDER BY m.title COLLATE "C", m.id
LIMIT $3;
