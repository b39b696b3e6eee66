-- Note that Redis knows of a block, or of its end.
UPDATE blocks SET apply_due = NULL WHERE id = $1 AND (released_at IS NOT NULL) = $2;
