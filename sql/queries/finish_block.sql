-- Note that Redis knows of a block, or of its end. One that was ended while Redis was told of it is to be told of again:
-- the end may have reached Redis first.
UPDATE blocks SET apply_due = CASE WHEN (released_at IS NOT NULL) = $2 THEN NULL ELSE now() END WHERE id = $1;
