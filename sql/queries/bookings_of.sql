-- A customer's bookings below a cursor, newest first.
SELECT * FROM booking_records WHERE subject = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3;
