-- Owe what captures still have of a cancelled showtime's customers: all, less what was owed or paid back before.
INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, reason, comment)
SELECT named.id, named.business_id, captures.gateway, captures.session_id, captures.booking_id,
       captures.amount_minor - before.amount_minor, captures.currency, 'showtime_cancelled',
       (SELECT reason FROM cancellations JOIN bookings USING (showtime_id) WHERE bookings.id = captures.booking_id)
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS named (id, business_id, gateway, session_id)
JOIN captures USING (gateway, session_id)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount_minor), 0)::bigint AS amount_minor FROM refunds
    WHERE refunds.gateway = captures.gateway AND refunds.session_id = captures.session_id
) AS before
WHERE captures.amount_minor > before.amount_minor
ON CONFLICT (business_id) DO NOTHING
RETURNING id;
