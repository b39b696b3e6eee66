-- All cases below a cursor, newest first.
SELECT id, business_id, kind, showtime_id AS showtime, booking_id, session_id, details,
       unix_ms(opened_at) AS opened_at_ms, unix_ms(closed_at) AS closed_at_ms
FROM cases WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2;
