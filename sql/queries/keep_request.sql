-- Keeps the answer of a request with its effect, in one transaction; what was kept too long ago is replaced.
INSERT INTO requests (id, fingerprint, answer) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, answer = excluded.answer, made_at = now();
