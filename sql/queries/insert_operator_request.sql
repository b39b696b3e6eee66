-- Enters an operator's request; waits for the same one if it runs, and gives nothing if it was made before.
INSERT INTO operator_requests (id, fingerprint) VALUES ($1, $2)
ON CONFLICT (id) DO NOTHING
RETURNING id;
