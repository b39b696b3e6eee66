-- Those of a gateway's events that the ledger does not have.
SELECT event_id FROM unnest($2::text[]) AS told (event_id)
WHERE NOT EXISTS (
    SELECT FROM payment_events WHERE payment_events.gateway = $1 AND payment_events.event_id = told.event_id
);
