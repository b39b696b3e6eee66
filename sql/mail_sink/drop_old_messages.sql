-- Keep the newest mails only.
DELETE FROM messages WHERE id <= (SELECT max(id) FROM messages) - :keep;
