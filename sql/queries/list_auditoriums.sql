-- Lists auditoriums. $1 cinema slug or id, $2 cinemas the reader may see, $3 the last id of the page before, $4 limit.
SELECT a.id, a.name, a.cinema_id, c.name AS cinema, a.layout_id, l.name AS layout, l.seat_count, l.tiers
FROM auditoriums a
JOIN cinemas c ON c.id = a.cinema_id
JOIN layouts l ON l.id = a.layout_id
WHERE ($1::text IS NULL OR c.slug = $1 OR c.id::text = $1)
  AND ($2::integer[] IS NULL OR c.id = ANY ($2))
  AND a.id > $3
ORDER BY a.id
LIMIT $4;
