-- Lists showtimes by start, with a local day as the cinema counts it.
-- $1 city slug, $2 cinema slug or id, $3 movie slug or id, $4 local day, $5 and $6 bounds of the start that contain
-- that day in any time zone, $7 not ended before, $8 sales not stopped before, $9 cinemas the reader may see, $10 and
-- $11 the last row of the page before, $12 limit.
SELECT *
FROM programme
WHERE starts_at >= $5
  AND starts_at < $6
  AND ends_at > $7
  AND sales_stop_at > $8
  AND ($1::text IS NULL OR city_slug = $1)
  AND ($2::text IS NULL OR cinema_slug = $2 OR cinema_id::text = $2)
  AND ($3::text IS NULL OR movie_slug = $3 OR movie_id::text = $3)
  AND ($4::date IS NULL OR (starts_at AT TIME ZONE timezone)::date = $4)
  AND ($9::integer[] IS NULL OR cinema_id = ANY ($9))
  AND (starts_at, id) > ($10::timestamptz, $11::bigint)
ORDER BY starts_at, id
LIMIT $12;
