-- A showtime was built anew; one that waits for an operator goes on waiting.
DELETE FROM rebuilds WHERE showtime_id = $1 AND automatic;
