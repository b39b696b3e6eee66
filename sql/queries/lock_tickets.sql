-- Lock the tickets of a booking in one order: whoever lets somebody in holds one of them.
SELECT id FROM tickets WHERE booking_id = $1 ORDER BY id FOR UPDATE;
