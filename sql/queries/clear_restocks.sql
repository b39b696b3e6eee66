-- Seats that are back in stock need not be given back again.
UPDATE tickets SET restock_due = NULL
FROM unnest($1::uuid[], $2::bigint[], $3::integer[]) AS freed (booking_id, sale_number, seat_index)
WHERE tickets.booking_id = freed.booking_id AND tickets.sale_number = freed.sale_number
  AND tickets.seat_index = freed.seat_index AND tickets.restock_due IS NOT NULL;
