-- Forget the seats of an earlier intent.
DELETE FROM booking_seats WHERE booking_id = $1;
