-- Keep what a customer wrote who has cancelled; the first words stay.
UPDATE bookings SET comment = $2
WHERE id = $1 AND status = 'CANCELLED' AND status_reason = 'customer' AND comment IS NULL AND $2 <> '';
