-- Enter bookings by the fact that ended them.
INSERT INTO bookings (id, showtime_id, subject, email, phone, locale, status, status_reason, owner_number, claimed_at,
                      amount_minor, currency, expires_at)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::bigint[], $10::timestamptz[], $11::bigint[], $12::text[], $13::timestamptz[]);
