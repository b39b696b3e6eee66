-- Which of these sessions have tickets already, live or not.
SELECT DISTINCT gateway, session_id FROM tickets
WHERE (gateway, session_id) IN (SELECT * FROM unnest($1::text[], $2::text[]));
