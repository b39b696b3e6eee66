-- Set an account to exactly this password, name and role, whether it was there or not; gives its id.
INSERT INTO users (id, email, password_hash, name, role)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (email) DO UPDATE
SET password_hash = excluded.password_hash, name = excluded.name, role = excluded.role,
    credentials = users.credentials + 1
RETURNING id;
