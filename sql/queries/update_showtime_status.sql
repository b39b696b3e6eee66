-- Freezes or opens a showtime that is not cancelled; gives nothing if it is, or does not exist.
UPDATE showtimes SET status = $2, status_reason = $3
WHERE id = $1 AND status <> 'CANCELLED'
RETURNING id;
