-- Seats of refunded tickets that were sold once more, for money that went back, must go back to stock once more.
UPDATE tickets SET restock_due = now()
FROM unnest($1::text[], $2::text[]) AS sold (gateway, session_id)
WHERE tickets.gateway = sold.gateway AND tickets.session_id = sold.session_id AND tickets.status = 'REFUNDED'
  AND tickets.restock_due IS NULL;
