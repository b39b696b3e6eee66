-- The blocks of a showtime, oldest first; released ones only if asked for.
SELECT id, showtime_id AS showtime, reason, channel, evict, created_by, unix_ms(created_at) AS created_at_ms,
       unix_ms(release_at) AS release_at_ms, unix_ms(released_at) AS released_at_ms, apply_due IS NULL AS applied,
       (SELECT jsonb_agg(jsonb_build_array(seat_index, seat) ORDER BY seat_index)
        FROM block_seats WHERE block_id = blocks.id) AS seats
FROM blocks WHERE showtime_id = $1 AND ($2::boolean OR released_at IS NULL) ORDER BY id;
