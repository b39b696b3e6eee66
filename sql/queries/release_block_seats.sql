-- Make the seats of an ended block free for another.
UPDATE block_seats SET live = false WHERE block_id = $1;
