-- Take over buyer, price and deadline of a new payment intent.
UPDATE bookings SET email = $2, phone = $3, locale = $4, amount_minor = $5, currency = $6, expires_at = $7,
                    updated_at = now()
WHERE id = $1;
