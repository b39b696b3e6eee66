-- The business ids under which some seqs were applied.
SELECT showtime_id, generation, seq, business_id FROM facts
WHERE (showtime_id, generation, seq) IN (SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[]));
