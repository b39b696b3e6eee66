-- Forget who wanted to be reminded of a booking long ago, a few at a time.
DELETE FROM reminders
WHERE booking_id IN (SELECT booking_id FROM reminders WHERE due_at IS NULL AND created_at <= now() - $1::interval
                     ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING booking_id;
