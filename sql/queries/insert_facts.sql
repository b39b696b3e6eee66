-- Write down applied facts; a seq that is there already is an error, never overlooked.
INSERT INTO facts (showtime_id, generation, seq, kind, business_id, happened_at, data)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::jsonb[]);
