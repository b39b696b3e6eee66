-- Take reminders whose time has come, each for one worker; given again after 30 s.
WITH due AS (
    SELECT booking_id FROM reminders WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE reminders SET due_at = now() + interval '30 seconds'
FROM due WHERE reminders.booking_id = due.booking_id
RETURNING reminders.booking_id;
