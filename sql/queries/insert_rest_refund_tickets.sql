-- Say which tickets such refunds pay for: of each what no refund before has paid.
INSERT INTO refund_tickets (refund_id, ticket_id, amount_minor)
SELECT refunds.id, tickets.id, tickets.price_minor - before.amount_minor
FROM refunds
JOIN tickets USING (gateway, session_id)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(amount_minor), 0)::bigint AS amount_minor FROM refund_tickets WHERE ticket_id = tickets.id
) AS before
WHERE refunds.id = ANY ($1::uuid[]) AND tickets.price_minor > before.amount_minor
ON CONFLICT (refund_id, ticket_id) DO NOTHING;
