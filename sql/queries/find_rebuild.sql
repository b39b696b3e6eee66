-- Says whether a showtime's seats in Redis wait to be built again.
SELECT EXISTS (SELECT FROM rebuilds WHERE showtime_id = $1);
