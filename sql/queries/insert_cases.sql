-- Open cases, each once per business id.
INSERT INTO cases (business_id, kind, showtime_id, booking_id, session_id, details)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::jsonb[])
ON CONFLICT (business_id) DO NOTHING;
