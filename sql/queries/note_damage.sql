-- Mark a showtime whose keys contradict each other; a worker builds it anew if whoever found it does not end that soon.
-- Gives when; nothing if it was marked already.
INSERT INTO rebuilds (showtime_id, reason, automatic, tried_at) VALUES ($1, 'damaged', true, now())
ON CONFLICT (showtime_id) DO NOTHING
RETURNING asked_at;
