-- Take blocks that Redis must still be told of, each for one worker.
WITH due AS (
    SELECT id FROM blocks WHERE apply_due <= now() ORDER BY apply_due LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE blocks SET apply_due = now() + interval '10 seconds' FROM due WHERE blocks.id = due.id RETURNING blocks.id;
