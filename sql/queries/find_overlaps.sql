-- Finds what is shown already in the times of new showtimes; gives each new one's place in the list, from 1.
SELECT n.place, s.id AS showtime_id, s.starts_at, s.ends_at
FROM unnest($1::integer[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY
         AS n (auditorium_id, starts_at, ends_at, place)
JOIN showtimes s ON s.auditorium_id = n.auditorium_id
                AND tstzrange(s.starts_at, s.ends_at) && tstzrange(n.starts_at, n.ends_at)
WHERE s.status <> 'CANCELLED'
  AND s.id <> $4
ORDER BY n.place, s.starts_at
LIMIT 20;
