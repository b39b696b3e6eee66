-- Forget a notification that somebody asked for who may not have it.
DELETE FROM notifications WHERE id = $1 AND attempts = $2;
