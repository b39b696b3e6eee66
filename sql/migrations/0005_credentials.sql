-- Counts a user's changes of password: a refresh token of an earlier one renews nothing.
ALTER TABLE users ADD COLUMN credentials integer NOT NULL DEFAULT 1;
