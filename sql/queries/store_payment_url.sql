-- Keep where the customer pays; the first answer of the gateway stays.
UPDATE payments SET payment_url = $2, updated_at = now() WHERE session_id = $1 AND payment_url IS NULL;
