-- Stored statuses of showtimes, held still until we commit.
SELECT id, status FROM showtimes WHERE id = ANY ($1::bigint[]) ORDER BY id FOR SHARE;
