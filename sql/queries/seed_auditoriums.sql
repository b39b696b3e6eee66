-- Adds the demo's auditoriums that are not there.
INSERT INTO auditoriums (cinema_id, name, layout_id)
SELECT c.id, n.name, n.layout_id
FROM unnest($1::text[], $2::text[], $3::integer[]) WITH ORDINALITY AS n (cinema, name, layout_id, place)
JOIN cinemas c ON c.slug = n.cinema
ORDER BY n.place
ON CONFLICT (cinema_id, name) DO NOTHING;
