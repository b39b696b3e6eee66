-- Give bookings a status that facts led to.
UPDATE bookings SET status = $2, status_reason = $3, updated_at = now() WHERE id = ANY ($1::uuid[]);
