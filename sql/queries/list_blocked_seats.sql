-- The seats of a showtime that are out of sale.
SELECT seat_index FROM block_seats WHERE showtime_id = $1 AND live;
