-- Refunds that nobody asks the gateway for any more ($2: so long overdue), that it never ends ($3: so long after they
-- were owed), or that are not the sum of what they pay for each ticket.
SELECT 'refund_overdue' AS kind, bookings.showtime_id AS showtime, 'refund ' || refunds.id AS place,
       'SETTLED or MANUAL' AS expected,
       refunds.status || ', due ' || refunds.due_at || ', owed since ' || refunds.created_at AS found
FROM refunds LEFT JOIN bookings ON bookings.id = refunds.booking_id
WHERE refunds.due_at IS NOT NULL AND ($1::bigint[] IS NULL OR bookings.showtime_id = ANY ($1::bigint[]))
  AND (refunds.due_at < now() - $2::interval OR refunds.created_at < now() - $3::interval)
UNION ALL
SELECT 'refund_tickets', bookings.showtime_id, 'refund ' || refunds.id, 'tickets for ' || refunds.amount_minor,
       sum(refund_tickets.amount_minor)::text
FROM refund_tickets JOIN refunds ON refunds.id = refund_tickets.refund_id
LEFT JOIN bookings ON bookings.id = refunds.booking_id
WHERE $1::bigint[] IS NULL OR bookings.showtime_id = ANY ($1::bigint[])
GROUP BY refunds.id, bookings.showtime_id HAVING sum(refund_tickets.amount_minor) <> refunds.amount_minor;
