-- What a showtime's record in Redis begins with; `waits`: an operator must look before it sells again.
SELECT showtimes.status, layouts.seat_count, (SELECT asked_at FROM rebuilds WHERE showtime_id = $1) AS asked_at,
       coalesce((SELECT seq FROM fact_heads WHERE showtime_id = $1 AND generation = $2), 0) AS seq,
       EXISTS (SELECT FROM rebuilds WHERE showtime_id = $1 AND NOT automatic) AS waits
FROM showtimes JOIN layouts ON layouts.id = showtimes.layout_id
WHERE showtimes.id = $1;
