-- The seats of some showtimes that are on their way back to stock, with the sale numbers that they may still have.
SELECT showtime_id, array_agg(seat_index) AS seats, array_agg(sale_number) AS sales FROM tickets
WHERE showtime_id = ANY ($1::bigint[]) AND restock_due IS NOT NULL GROUP BY showtime_id;
