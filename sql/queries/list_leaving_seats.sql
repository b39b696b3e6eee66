-- The seats of a showtime that are to go back to stock, and may not have yet.
SELECT seat_index FROM tickets WHERE showtime_id = $1 AND restock_due IS NOT NULL;
