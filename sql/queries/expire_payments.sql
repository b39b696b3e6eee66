-- End the sessions of bookings that nobody paid.
UPDATE payments SET status = 'EXPIRED', updated_at = now()
WHERE booking_id = ANY ($1::uuid[]) AND status = 'PENDING';
