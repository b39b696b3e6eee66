-- One payment session.
SELECT * FROM payment_records WHERE session_id = $1;
