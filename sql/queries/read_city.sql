-- Reads one city by its slug.
SELECT id, slug, name, timezone FROM cities WHERE slug = $1;
