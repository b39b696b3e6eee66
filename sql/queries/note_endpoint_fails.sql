-- Note that an endpoint has failed at an event, if it did not fail before; tests do not count.
UPDATE webhook_endpoints SET failing_since = now()
WHERE id = $1 AND failing_since IS NULL
    AND EXISTS (SELECT FROM webhook_deliveries WHERE id = $2 AND announcement_id IS NOT NULL);
