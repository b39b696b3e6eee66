-- One booking with all that hangs on it.
SELECT * FROM booking_records WHERE id = $1;
