-- Money that has waited longer than $2 to become tickets or a refund, and that no open case names.
SELECT 'capture_open' AS kind, bookings.showtime_id AS showtime,
       'capture ' || captures.gateway || ':' || captures.session_id AS place,
       'an outcome' AS expected, 'none since ' || captures.captured_at AS found
FROM captures LEFT JOIN bookings ON bookings.id = captures.booking_id
WHERE captures.outcome IS NULL AND captures.captured_at < now() - $2::interval
  AND ($1::bigint[] IS NULL OR bookings.showtime_id = ANY ($1::bigint[]))
  AND NOT EXISTS (SELECT FROM cases WHERE cases.session_id = captures.session_id AND closed_at IS NULL);
