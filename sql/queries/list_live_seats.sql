-- Which of these seats have a live ticket.
SELECT showtime_id, seat_index FROM tickets
WHERE (showtime_id, seat_index) IN (SELECT * FROM unnest($1::bigint[], $2::integer[])) AND status IN ('SOLD', 'USED');
