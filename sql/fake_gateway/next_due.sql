-- When anything happens next; NULL when nothing will.
SELECT min(due_ms) AS due_ms
FROM (
    SELECT min(due_ms) AS due_ms FROM sessions WHERE due_ms IS NOT NULL
    UNION ALL
    SELECT min(due_ms) FROM events WHERE due_ms IS NOT NULL
    UNION ALL
    SELECT min(due_ms) FROM refunds WHERE due_ms IS NOT NULL
)
