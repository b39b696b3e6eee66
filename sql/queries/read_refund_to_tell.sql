-- A refund with what mails say of it.
SELECT id, gateway, session_id, booking_id, amount_minor, currency, reason, status, attempts, failure_code
FROM refunds WHERE id = $1;
