-- Lock the money that bought the tickets of some bookings, in one order.
SELECT gateway, session_id FROM captures WHERE booking_id = ANY ($1::uuid[]) AND outcome = 'TICKETS'
ORDER BY gateway, session_id FOR UPDATE;
