-- Take tickets back, and have their seats given back to stock: by the caller at once, or by the worker a moment later.
UPDATE tickets SET status = 'REFUNDED', restock_due = now() + interval '2 seconds'
WHERE id = ANY ($1::uuid[]) AND status = 'SOLD'
RETURNING gateway, session_id, showtime_id, subject, sale_number, seat_index;
