-- Queue announced events for every endpoint that asked for their type, its cinema's or all; what happened before there
-- was the endpoint is not sent. The body is written here, once: bookings and refunds go on, a repeated body must not.
INSERT INTO webhook_deliveries (endpoint_id, announcement_id, event_id, type, body, give_up_at)
SELECT webhook_endpoints.id, announcements.id, announcements.event_id, announcements.type,
       json_strip_nulls(json_build_object(
           'id', 'msg_' || announcements.event_id,
           'type', announcements.type,
           'created_at', to_char(announcements.happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
           'data', json_build_object(
               'cinema_id', auditoriums.cinema_id,
               'showtime_id', announcements.showtime_id,
               'booking_id', announcements.booking_id,
               'refund_id', refunds.id,
               'status', upper(split_part(announcements.type, '.', 2)),
               'status_reason', announcements.data ->> 'status_reason',
               'reason', announcements.data ->> 'reason',
               'seats', CASE WHEN refunds.id IS NULL
                   THEN (SELECT json_agg(seat ORDER BY seat_index)
                         FROM booking_seats WHERE booking_id = bookings.id)
                   ELSE (SELECT json_agg(seat ORDER BY seat_index)
                         FROM refund_tickets JOIN tickets ON tickets.id = ticket_id WHERE refund_id = refunds.id)
               END,
               'amount', coalesce(refunds.amount_minor, bookings.amount_minor),
               'currency', coalesce(refunds.currency, bookings.currency))))::text,
       announcements.happened_at + $2::bigint * interval '1 millisecond'
FROM announcements
LEFT JOIN showtimes ON showtimes.id = announcements.showtime_id
LEFT JOIN auditoriums ON auditoriums.id = showtimes.auditorium_id
LEFT JOIN bookings ON bookings.id = announcements.booking_id
LEFT JOIN refunds ON refunds.id = announcements.refund_id
JOIN webhook_endpoints ON webhook_endpoints.active AND announcements.type = ANY(webhook_endpoints.events)
    AND coalesce(webhook_endpoints.cinema_id = auditoriums.cinema_id, webhook_endpoints.cinema_id IS NULL)
    AND webhook_endpoints.created_at <= announcements.happened_at
WHERE announcements.id = ANY($1::bigint[])
ON CONFLICT (endpoint_id, announcement_id) DO NOTHING;
