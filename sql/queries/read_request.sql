-- Reads what a request was answered within the last day.
SELECT fingerprint, answer FROM requests WHERE id = $1 AND made_at > now() - interval '24 hours';
