-- Forget for which cinemas an account works.
DELETE FROM staff_cinemas WHERE user_id = $1;
