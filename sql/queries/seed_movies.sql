-- Adds the demo's movies that are not there; genres come joined by |, for arrays of arrays are matrices.
INSERT INTO movies (slug, title, synopsis, duration_minutes, rating, genres)
SELECT n.slug, n.title, n.synopsis, n.duration_minutes, n.rating, string_to_array(n.genres, '|')
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[]) WITH ORDINALITY
         AS n (slug, title, synopsis, duration_minutes, rating, genres, place)
ORDER BY n.place
ON CONFLICT (slug) DO NOTHING;
