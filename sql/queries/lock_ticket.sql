-- Hold a ticket still; nothing if there is none.
SELECT id FROM tickets WHERE id = $1 FOR NO KEY UPDATE;
