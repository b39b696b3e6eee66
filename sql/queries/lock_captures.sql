-- Lock captures of one gateway in one order.
SELECT gateway, session_id, booking_id, amount_minor, currency, outcome FROM captures
WHERE gateway = $1 AND session_id = ANY ($2::text[]) ORDER BY session_id FOR UPDATE;
