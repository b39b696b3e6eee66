-- Count one more attempt at something, and give its number.
INSERT INTO attempts (kind, about, made) VALUES (:kind, :about, 1)
ON CONFLICT (kind, about) DO UPDATE SET made = made + 1
RETURNING made
