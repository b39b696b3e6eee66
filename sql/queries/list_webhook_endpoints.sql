-- Endpoints after a cursor, of some cinemas or all, oldest first.
SELECT * FROM webhook_endpoint_records
WHERE ($1::integer[] IS NULL OR cinema_id = ANY($1)) AND id > $2 ORDER BY id LIMIT $3;
