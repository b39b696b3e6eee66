-- The sold seats of a showtime with their sale numbers.
SELECT seat_index, sale_number FROM tickets WHERE showtime_id = $1 AND status IN ('SOLD', 'USED');
