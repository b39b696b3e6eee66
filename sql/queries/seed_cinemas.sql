-- Adds the demo's cinemas that are not there.
INSERT INTO cinemas (city_id, slug, name, address, timezone)
SELECT t.id, n.slug, n.name, n.address, n.timezone
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY
         AS n (city, slug, name, address, timezone, place)
JOIN cities t ON t.slug = n.city
ORDER BY n.place
ON CONFLICT (slug) DO NOTHING;
