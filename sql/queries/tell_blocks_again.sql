-- Have the worker tell Redis again of the blocks that some seats of a showtime are in.
UPDATE blocks SET apply_due = now()
WHERE released_at IS NULL
  AND id IN (SELECT block_id FROM block_seats WHERE showtime_id = $1 AND seat_index = ANY ($2::integer[]) AND live);
