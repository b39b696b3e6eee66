-- Take notifications of one channel whose time has come, each for one worker; given again after the lease of $3 ms.
WITH due AS (
    SELECT id FROM notifications WHERE channel = $1 AND due_at <= now()
    ORDER BY due_at LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE notifications
SET attempts = attempts + 1, due_at = now() + $3::bigint * interval '1 millisecond'
FROM due WHERE notifications.id = due.id
RETURNING notifications.id, business_id, kind, channel, recipient, locale, showtime_id AS showtime, booking_id,
          refund_id, data, attempts;
