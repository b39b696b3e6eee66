-- Add an account unless its e-mail has one; gives a row only if it was added.
INSERT INTO users (id, email, password_hash, name, phone, locale, role)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (email) DO NOTHING
RETURNING id;
