-- Write tickets. No conflict is passed over: the index on live seats has the last word.
INSERT INTO tickets (id, showtime_id, seat_index, seat, tier, booking_id, gateway, session_id, sale_number, subject,
                     price_minor, currency, status, sold_at, restock_due)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                     $8::text[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::text[],
                     $14::timestamptz[], $15::timestamptz[]);
