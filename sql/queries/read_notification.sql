-- One notification as operators see it.
SELECT id, business_id, kind, channel, recipient, locale, showtime_id AS showtime, booking_id, refund_id, status,
       attempts, unix_ms(due_at) AS due_at_ms, error, unix_ms(created_at) AS created_at_ms,
       unix_ms(ended_at) AS ended_at_ms
FROM notifications WHERE id = $1;
