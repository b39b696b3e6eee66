-- What should have ended long ago: cancellations and restocks that are overdue by $2, and live tickets of showtimes
-- whose cancellation is done; and rebuilds that wait for a person.
SELECT 'cancellation_overdue' AS kind, showtime_id AS showtime, 'cancellation' AS place, 'done' AS expected,
       'due since ' || due_at AS found
FROM cancellations WHERE due_at < now() - $2::interval AND ($1::bigint[] IS NULL OR showtime_id = ANY ($1::bigint[]))
UNION ALL
SELECT 'restock_overdue', showtime_id, 'seats ' || string_agg(seat, ' ' ORDER BY seat_index), 'back in stock',
       'due since ' || min(restock_due)
FROM tickets
WHERE restock_due < now() - $2::interval AND ($1::bigint[] IS NULL OR showtime_id = ANY ($1::bigint[]))
GROUP BY showtime_id
UNION ALL
SELECT 'cancelled_with_tickets', tickets.showtime_id, 'seats ' || string_agg(tickets.seat, ' ' ORDER BY seat_index),
       'REFUNDED with its showtime', 'live'
FROM cancellations JOIN tickets ON tickets.showtime_id = cancellations.showtime_id
WHERE cancellations.done_at IS NOT NULL AND tickets.status IN ('SOLD', 'USED')
  AND ($1::bigint[] IS NULL OR tickets.showtime_id = ANY ($1::bigint[]))
GROUP BY tickets.showtime_id
UNION ALL
SELECT 'waits_for_person', showtime_id, 'the showtime', 'on sale', 'frozen since ' || asked_at || ' (' || reason || ')'
FROM rebuilds WHERE NOT automatic AND ($1::bigint[] IS NULL OR showtime_id = ANY ($1::bigint[]));
