-- The last applied seqs of some showtimes, by generation.
SELECT showtime_id, jsonb_object_agg(generation::text, seq) AS heads FROM fact_heads
WHERE showtime_id = ANY ($1::bigint[]) GROUP BY showtime_id;
