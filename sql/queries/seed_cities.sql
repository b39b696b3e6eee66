-- Adds the demo's cities that are not there.
INSERT INTO cities (slug, name, timezone)
SELECT slug, name, timezone
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n (slug, name, timezone, place)
ORDER BY place
ON CONFLICT (slug) DO NOTHING;
