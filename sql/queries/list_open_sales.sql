-- Money of a showtime that has no outcome yet, with the seats it is for.
SELECT captures.gateway, captures.session_id, captures.booking_id, bookings.owner_number,
       ARRAY(SELECT seat_index FROM booking_seats WHERE booking_seats.booking_id = bookings.id
             ORDER BY seat_index) AS seats
FROM captures JOIN bookings ON bookings.id = captures.booking_id
WHERE captures.outcome IS NULL AND bookings.showtime_id = $1
ORDER BY captures.captured_at, captures.session_id;
