-- Lists the movies that still have a showing, by title. $1 city slug, $2 local day, $3 and $4 bounds of the start
-- that contain that day in any time zone, $5 not ended before, $6 and $7 the last row of the page before, $8 limit.
SELECT m.id, m.slug, m.title, m.synopsis, m.duration_minutes, m.rating, m.genres, count(*) AS showtimes
FROM movies m
JOIN programme p ON p.movie_id = m.id
WHERE p.status <> 'CANCELLED'
  AND p.starts_at >= $3
  AND p.starts_at < $4
  AND p.ends_at > $5
  AND ($1::text IS NULL OR p.city_slug = $1)
  AND ($2::date IS NULL OR (p.starts_at AT TIME ZONE p.timezone)::date = $2)
  AND (m.title COLLATE "C", m.id) > ($6 COLLATE "C", $7::integer)
GROUP BY m.id
ORDER BY m.title COLLATE "C", m.id
LIMIT $8;
