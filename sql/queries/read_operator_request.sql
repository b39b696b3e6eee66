-- Reads what a request was answered.
SELECT fingerprint, answer FROM operator_requests WHERE id = $1;
