-- Inserts showtimes with the layout that their auditorium has now; gives their ids in the order of the list.
INSERT INTO showtimes (auditorium_id, movie_id, layout_id, starts_at, ends_at, sales_open_at, sales_stop_at, prices,
                       currency, policy)
SELECT n.auditorium_id, n.movie_id, a.layout_id, n.starts_at, n.ends_at, n.sales_open_at, n.sales_stop_at,
       n.prices, n.currency, n.policy
FROM unnest($1::integer[], $2::integer[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[],
            $7::jsonb[], $8::text[], $9::jsonb[]) WITH ORDINALITY
         AS n (auditorium_id, movie_id, starts_at, ends_at, sales_open_at, sales_stop_at, prices, currency, policy,
               place)
JOIN auditoriums a ON a.id = n.auditorium_id
ORDER BY n.place
RETURNING id;
