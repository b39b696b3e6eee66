-- Close a case.
UPDATE cases SET closed_at = now() WHERE id = $1 AND closed_at IS NULL RETURNING id;
