-- Keeps the answer of a request with its effect, in one transaction.
UPDATE operator_requests SET answer = $2 WHERE id = $1;
