-- The showtimes to look at ($1: these, or NULL for all), and which of them Redis may still have, $2 after their end.
SELECT id, ends_at + $2::interval > now() AS kept FROM showtimes
WHERE $1::bigint[] IS NULL OR id = ANY ($1::bigint[]) ORDER BY id;
