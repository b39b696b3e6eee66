-- Blocks whose agreed end has come.
SELECT id FROM blocks WHERE released_at IS NULL AND release_at <= now() ORDER BY release_at LIMIT $1;
