-- Move the last applied seq of some showtimes and generations.
INSERT INTO fact_heads (showtime_id, generation, seq) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[])
ON CONFLICT (showtime_id, generation) DO UPDATE SET seq = excluded.seq;
