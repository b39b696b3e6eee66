-- Mark showtimes whose seats in Redis are not to be trusted; what waits for an operator goes on waiting.
INSERT INTO rebuilds (showtime_id, reason, automatic) SELECT * FROM unnest($1::bigint[], $2::text[], $3::boolean[])
ON CONFLICT (showtime_id) DO UPDATE SET automatic = rebuilds.automatic AND excluded.automatic, asked_at = clock_timestamp();
