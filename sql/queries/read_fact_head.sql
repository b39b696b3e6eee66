-- The last applied seq of a showtime in one generation.
SELECT seq FROM fact_heads WHERE showtime_id = $1 AND generation = $2;
