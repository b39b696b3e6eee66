-- Lock bookings in one order.
SELECT id, showtime_id, subject, status, status_reason, amount_minor, currency FROM bookings
WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;
