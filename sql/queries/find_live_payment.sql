-- The session of a booking that can still be paid at $2.
SELECT * FROM payment_records
WHERE booking_id = $1 AND status = 'PENDING' AND expires_at_ms > $2
ORDER BY created_at_ms DESC LIMIT 1;
