-- Look at a reminder again at another time; NULL: it is done.
UPDATE reminders SET due_at = $2 WHERE booking_id = $1;
