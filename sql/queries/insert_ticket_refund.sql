-- Owe a customer what tickets pay that were given back, with what it is for each of them.
WITH each AS (
    SELECT * FROM unnest($8::uuid[], $9::bigint[]) AS each (ticket_id, amount_minor)
), owed AS (
    INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, reason, comment)
    SELECT $1, $2, $3, $4, $5, sum(amount_minor), $6, 'customer', $7 FROM each
    ON CONFLICT (business_id) DO NOTHING
    RETURNING id
)
INSERT INTO refund_tickets (refund_id, ticket_id, amount_minor)
SELECT owed.id, each.ticket_id, each.amount_minor FROM owed, each;
