-- Queue notifications, each once per business id.
INSERT INTO notifications (business_id, kind, channel, recipient, locale, showtime_id, booking_id, refund_id, data)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::uuid[], $8::uuid[],
                     $9::jsonb[])
ON CONFLICT (business_id) DO NOTHING;
