-- Lists cities by name. $1 and $2 are the last row of the page before, $3 the limit.
SELECT t.id, t.slug, t.name, t.timezone, count(c.id) AS cinemas
FROM cities t
LEFT JOIN cinemas c ON c.city_id = t.id
WHERE (t.name COLLATE "C", t.id) > ($1 COLLATE "C", $2::integer)
GROUP BY t.id
ORDER BY t.name COLLATE "C", t.id
LIMIT $3;
