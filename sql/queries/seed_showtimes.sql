-- Adds the demo's showtimes, but none that is there already (cancelled ones count) or that meets another one.
INSERT INTO showtimes (auditorium_id, movie_id, layout_id, starts_at, ends_at, sales_open_at, sales_stop_at, prices,
                       currency)
SELECT a.id, m.id, a.layout_id, n.starts_at, n.ends_at, n.sales_open_at, n.starts_at, n.prices, n.currency
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::jsonb[],
            $8::text[]) WITH ORDINALITY
         AS n (cinema, auditorium, movie, starts_at, ends_at, sales_open_at, prices, currency, place)
JOIN cinemas c ON c.slug = n.cinema
JOIN auditoriums a ON a.cinema_id = c.id AND a.name = n.auditorium
JOIN movies m ON m.slug = n.movie
WHERE NOT EXISTS (SELECT FROM showtimes s WHERE s.auditorium_id = a.id AND s.starts_at = n.starts_at)
ORDER BY n.place
ON CONFLICT ON CONSTRAINT showtimes_apart DO NOTHING;
