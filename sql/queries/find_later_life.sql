-- Says what the ledger knows of the time after a generation of Redis: `known`, whether that life is in its list at all;
-- `later`, whether the showtime has facts of later lives.
SELECT EXISTS (SELECT FROM generations WHERE generation = $2) AS known,
       EXISTS (SELECT FROM fact_heads WHERE showtime_id = $1 AND generation > $2) AS later;
