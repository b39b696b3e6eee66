-- Counts the accounts with one of the e-mail addresses in $1.
SELECT count(*) FROM users WHERE email = ANY ($1::text[]);
