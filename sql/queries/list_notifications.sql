-- Notifications below a cursor, newest first, of a status and a kind if asked.
SELECT id, business_id, kind, channel, recipient, locale, showtime_id AS showtime, booking_id, refund_id, status,
       attempts, unix_ms(due_at) AS due_at_ms, error, unix_ms(created_at) AS created_at_ms,
       unix_ms(ended_at) AS ended_at_ms
FROM notifications
WHERE ($1::bigint IS NULL OR id < $1) AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR kind = $3)
ORDER BY id DESC LIMIT $4;
