-- Lists cinemas by name. $1 city slug, $2 cinemas the reader may see, $3 and $4 the last row of
-- the page before, $5 limit.
SELECT c.id, c.slug, c.name, c.address, t.name AS city, t.slug AS city_slug, c.timezone, c.policy,
       (SELECT count(*) FROM auditoriums a WHERE a.cinema_id = c.id) AS auditoriums
FROM cinemas c
JOIN cities t ON t.id = c.city_id
WHERE ($1::text IS NULL OR t.slug = $1)
  AND ($2::integer[] IS NULL OR c.id = ANY ($2))
  AND (c.name COLLATE "C", c.id) > ($3 COLLATE "C", $4::integer)
ORDER BY c.name COLLATE "C", c.id
LIMIT $5;
