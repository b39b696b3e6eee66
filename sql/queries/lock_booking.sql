-- Lock one booking: every judgement about its money is made under this lock.
SELECT id, showtime_id, subject, status, amount_minor, currency, archived_at FROM bookings WHERE id = $1 FOR UPDATE;
