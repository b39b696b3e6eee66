-- A showtime was built anew; a request that the load did not see ($2: the one it saw), or an operator's, stays.
DELETE FROM rebuilds WHERE showtime_id = $1 AND automatic AND asked_at = $2;
