-- Operators' acts below a cursor, newest first.
SELECT id, actor, verb, subject, reason, details, unix_ms(acted_at) AS acted_at_ms
FROM acts WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2;
