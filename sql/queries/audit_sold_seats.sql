-- The sold seats of some showtimes, with their sale numbers.
SELECT showtime_id, array_agg(seat_index) AS seats, array_agg(sale_number) AS sales FROM tickets
WHERE showtime_id = ANY ($1::bigint[]) AND status IN ('SOLD', 'USED') GROUP BY showtime_id;
