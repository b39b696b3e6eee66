-- Reads one cinema.
SELECT c.id, c.slug, c.name, c.address, t.name AS city, t.slug AS city_slug, c.timezone, c.policy,
       (SELECT count(*) FROM auditoriums a WHERE a.cinema_id = c.id) AS auditoriums
FROM cinemas c
JOIN cities t ON t.id = c.city_id
WHERE c.id = $1;
