-- Administrators that have an account, to be told what only a person can do.
SELECT email, locale FROM users WHERE role = 'admin' ORDER BY email;
