-- Locks auditoriums, in the order of their ids, against other changes of what is shown there; gives what a new
-- showtime needs of them.
SELECT a.id, a.cinema_id, a.layout_id, l.tiers, c.policy AS cinema_policy, clock_timestamp() AS now
FROM auditoriums a
JOIN cinemas c ON c.id = a.cinema_id
JOIN layouts l ON l.id = a.layout_id
WHERE a.id = ANY ($1)
ORDER BY a.id
FOR NO KEY UPDATE OF a;
