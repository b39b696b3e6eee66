-- The seats of some showtimes that operators took out of sale; `moving`: Redis is not surely told of it, or of its end.
SELECT block_seats.showtime_id, block_seats.seat_index, blocks.apply_due IS NOT NULL AS moving, block_seats.live
FROM blocks JOIN block_seats ON block_seats.block_id = blocks.id
WHERE blocks.showtime_id = ANY ($1::bigint[]) AND (block_seats.live OR blocks.apply_due IS NOT NULL);
