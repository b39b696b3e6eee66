-- How far the ledger is with a showtime, by generation.
SELECT generation, seq FROM fact_heads WHERE showtime_id = $1;
