-- Make the live tickets of some bookings REFUNDED, used ones too; their seats go back to stock.
UPDATE tickets SET status = 'REFUNDED', restock_due = now()
WHERE booking_id = ANY ($1::uuid[]) AND status IN ('SOLD', 'USED');
