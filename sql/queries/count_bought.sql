-- How many seats of a showtime each customer has bought.
SELECT subject, count(*) AS bought FROM tickets
WHERE showtime_id = $1 AND status IN ('SOLD', 'USED') GROUP BY subject;
