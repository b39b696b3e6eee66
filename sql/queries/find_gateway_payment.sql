-- The gateway's own id of the payment that paid a session.
SELECT body ->> 'gateway_payment' FROM payment_events
WHERE gateway = $1 AND session_id = $2 AND type = 'payment.success'
ORDER BY received_at
LIMIT 1;
