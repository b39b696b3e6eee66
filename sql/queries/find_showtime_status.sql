-- The stored status of a showtime, held still until we commit.
SELECT status FROM showtimes WHERE id = $1 FOR SHARE;
