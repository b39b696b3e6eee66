-- Whether a showtime is cancelled, when it ends, and what time it is.
SELECT status = 'CANCELLED' AS cancelled, unix_ms(ends_at) AS ends_at_ms, unix_ms(clock_timestamp()) AS now_ms
FROM showtimes WHERE id = $1;
