-- Let the tickets of these bookings be of this customer.
UPDATE tickets SET subject = $2 WHERE booking_id = ANY ($1::uuid[]);
