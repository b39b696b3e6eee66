-- Note that Redis knows that a showtime is cancelled.
UPDATE cancellations SET closed_at = now() WHERE showtime_id = $1 AND closed_at IS NULL;
