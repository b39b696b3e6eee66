-- Read an account by its id, with the cinemas that it works for.
SELECT u.id, u.email, u.password_hash, u.name, u.phone, u.locale, u.role, u.credentials,
       ARRAY(SELECT s.cinema_id FROM staff_cinemas s WHERE s.user_id = u.id) AS cinemas,
       ARRAY(SELECT s.cinema_id FROM staff_cinemas s WHERE s.user_id = u.id AND s.manager) AS managed
FROM users u
WHERE u.id = $1;
