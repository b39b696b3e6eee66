-- Inserts a cinema unless its slug is there; gives nothing then.
INSERT INTO cinemas (city_id, slug, name, address, timezone, policy) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (slug) DO NOTHING
RETURNING id;
