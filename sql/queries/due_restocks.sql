-- Take seats that must go back to stock, each for one worker, gathered by sale; given again after 30 s.
WITH due AS (
    SELECT id FROM tickets WHERE restock_due <= now() ORDER BY restock_due LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE tickets SET restock_due = now() + interval '30 seconds' FROM due WHERE tickets.id = due.id
    RETURNING tickets.showtime_id, tickets.subject, tickets.booking_id, tickets.sale_number, tickets.seat_index
)
SELECT showtime_id, subject, booking_id, sale_number, array_agg(seat_index ORDER BY seat_index) AS seats
FROM taken GROUP BY showtime_id, subject, booking_id, sale_number;
