-- Takes the answer of a request back, because its effect is undone.
DELETE FROM requests WHERE id = $1;
