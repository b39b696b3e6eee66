-- What Redis is to know of some showtimes as wholes; `overdue`: a rebuild was asked for longer ago than $2; `policy`: the
-- numbers that cinema and showtime set. All others come from settings, which are not the ledger's.
SELECT showtimes.id, showtimes.status, layouts.seat_count, rebuilds.reason, rebuilds.automatic,
       rebuilds.asked_at < now() - $2::interval AS overdue, cinemas.policy || showtimes.policy AS policy,
       showtimes.sales_open_at, showtimes.sales_stop_at, showtimes.ends_at
FROM showtimes JOIN layouts ON layouts.id = showtimes.layout_id
JOIN auditoriums ON auditoriums.id = showtimes.auditorium_id
JOIN cinemas ON cinemas.id = auditoriums.cinema_id
LEFT JOIN rebuilds ON rebuilds.showtime_id = showtimes.id
WHERE showtimes.id = ANY ($1::bigint[]);
