-- Inserts a city unless its slug is there; gives nothing then.
INSERT INTO cities (slug, name, timezone) VALUES ($1, $2, $3)
ON CONFLICT (slug) DO NOTHING
RETURNING id;
