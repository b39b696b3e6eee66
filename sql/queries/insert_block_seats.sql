-- Enter the seats of a block; a seat that is blocked already is left out.
INSERT INTO block_seats (block_id, showtime_id, seat_index, seat)
SELECT $1, $2, * FROM unnest($3::integer[], $4::text[])
ON CONFLICT (showtime_id, seat_index) WHERE live DO NOTHING
RETURNING seat_index;
