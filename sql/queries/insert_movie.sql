-- Inserts a movie unless its slug is there; gives nothing then.
INSERT INTO movies (slug, title, synopsis, duration_minutes, rating, genres) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (slug) DO NOTHING
RETURNING id;
