-- Lock captures in one order.
SELECT gateway, session_id, booking_id, amount_minor, currency, outcome FROM captures
WHERE (gateway, session_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY gateway, session_id FOR UPDATE;
