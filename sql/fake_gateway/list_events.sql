-- Events since a time, delivered or not, in the order of their making.
SELECT rowid AS number, body, at_ms FROM events
WHERE at_ms >= :since_ms AND rowid > :after
ORDER BY rowid
LIMIT :limit
