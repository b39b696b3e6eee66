-- Which showtime a booking is for.
SELECT showtime_id FROM bookings WHERE id = $1;
