-- Say that a locked ticket is USED, or SOLD again.
UPDATE tickets SET status = $2 WHERE id = $1;
