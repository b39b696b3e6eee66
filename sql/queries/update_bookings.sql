-- Give bookings the status that facts led to.
UPDATE bookings SET status = changed.status, status_reason = changed.status_reason, updated_at = now()
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS changed (id, status, status_reason)
WHERE bookings.id = changed.id;
