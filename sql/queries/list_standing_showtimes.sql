-- Lists those of some showtimes that have a status, and do not wait to be built again from the ledger.
SELECT id FROM showtimes s
WHERE id = ANY($1::bigint[]) AND status = $2
  AND NOT EXISTS (SELECT FROM rebuilds r WHERE r.showtime_id = s.id)
ORDER BY id;
