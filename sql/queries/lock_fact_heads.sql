-- The last applied seq of some showtimes and generations, held until we commit.
SELECT showtime_id, generation, seq FROM fact_heads
WHERE (showtime_id, generation) IN (SELECT * FROM unnest($1::bigint[], $2::integer[]))
ORDER BY showtime_id, generation FOR UPDATE;
