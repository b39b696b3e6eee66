-- The books of some showtimes, or ($2) of money that belongs to no booking, by currency; with each capture that is not
-- live tickets + refunds + what the refund policy kept + what an open case names.
WITH money AS (
    SELECT captures.*, bookings.showtime_id FROM bookings JOIN captures ON captures.booking_id = bookings.id
    WHERE bookings.showtime_id = ANY ($1::bigint[])
    UNION ALL
    SELECT captures.*, NULL FROM captures WHERE $2::boolean AND captures.booking_id IS NULL
), summed AS (
    SELECT money.showtime_id, money.gateway, money.session_id, money.currency, money.outcome, money.amount_minor,
           sold.tickets, sold.live, sold.kept, returned.refunded, sold.foreign_money OR returned.foreign_money AS mixed,
           CASE WHEN money.outcome IS NULL THEN 0
                ELSE money.amount_minor - sold.live - sold.kept - returned.refunded END AS missing
    FROM money
    CROSS JOIN LATERAL (
        SELECT count(*) AS tickets,
               coalesce(sum(price_minor) FILTER (WHERE status <> 'REFUNDED'), 0)::bigint AS live,
               coalesce(sum(price_minor - (SELECT sum(amount_minor) FROM refund_tickets WHERE ticket_id = tickets.id))
                        FILTER (WHERE status = 'REFUNDED'), 0)::bigint AS kept,
               coalesce(bool_or(tickets.currency <> money.currency), false) AS foreign_money
        FROM tickets WHERE tickets.gateway = money.gateway AND tickets.session_id = money.session_id
    ) AS sold
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0)::bigint AS refunded,
               coalesce(bool_or(refunds.currency <> money.currency), false) AS foreign_money
        FROM refunds WHERE refunds.gateway = money.gateway AND refunds.session_id = money.session_id
    ) AS returned
), judged AS (
    SELECT *, missing > 0 AND EXISTS (SELECT FROM cases WHERE cases.session_id = summed.session_id
                                                          AND closed_at IS NULL) AS named,
           CASE WHEN mixed THEN 'currencies_mixed'
                WHEN refunded > amount_minor THEN 'refunds_above_capture'
                WHEN missing <> 0 OR (outcome IS NULL AND live + refunded <> 0) THEN 'capture_unbalanced' END AS wrong
    FROM summed
)
SELECT currency, count(*) AS captures, sum(tickets)::bigint AS tickets, sum(amount_minor)::bigint AS captured,
       sum(live)::bigint AS live, sum(refunded)::bigint AS refunded, sum(kept)::bigint AS kept,
       coalesce(sum(amount_minor) FILTER (WHERE outcome IS NULL), 0)::bigint AS waiting,
       coalesce(sum(missing) FILTER (WHERE named), 0)::bigint AS in_cases,
       coalesce(jsonb_agg(jsonb_build_object(
           'kind', wrong, 'showtime', showtime_id, 'place', 'capture ' || gateway || ':' || session_id,
           'expected', amount_minor || ' ' || currency,
           'found', (live + refunded + kept) || ': tickets ' || live || ', refunds ' || refunded || ', kept ' || kept)
           ORDER BY showtime_id, session_id)
           FILTER (WHERE wrong IS NOT NULL AND NOT (named AND wrong = 'capture_unbalanced')), '[]') AS wrong
FROM judged GROUP BY currency;
