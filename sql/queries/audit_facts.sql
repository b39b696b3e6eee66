-- Showtimes and generations among these whose facts do not run from 1 to their head.
SELECT 'facts_gap' AS kind, coalesce(counted.showtime_id, fact_heads.showtime_id) AS showtime,
       'generation ' || coalesce(counted.generation, fact_heads.generation) AS place,
       'facts 1 to ' || coalesce(fact_heads.seq, 0) AS expected,
       coalesce(counted.facts || ' facts, ' || counted.first || ' to ' || counted.last, 'none') AS found
FROM (
    SELECT showtime_id, generation, count(*) AS facts, min(seq) AS first, max(seq) AS last FROM facts
    WHERE showtime_id = ANY ($1::bigint[]) GROUP BY showtime_id, generation
) AS counted
FULL JOIN (SELECT * FROM fact_heads WHERE showtime_id = ANY ($1::bigint[]) AND seq > 0) AS fact_heads
    ON fact_heads.showtime_id = counted.showtime_id AND fact_heads.generation = counted.generation
WHERE (counted.facts, counted.first, counted.last) IS DISTINCT FROM (fact_heads.seq, 1::bigint, fact_heads.seq);
