-- What Redis is to know of some showtimes as wholes; `overdue`: a rebuild was asked for longer ago than $2.
SELECT showtimes.id, showtimes.status, layouts.seat_count, rebuilds.reason, rebuilds.automatic,
       rebuilds.asked_at < now() - $2::interval AS overdue
FROM showtimes JOIN layouts ON layouts.id = showtimes.layout_id
LEFT JOIN rebuilds ON rebuilds.showtime_id = showtimes.id
WHERE showtimes.id = ANY ($1::bigint[]);
