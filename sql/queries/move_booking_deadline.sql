-- Follow the deadline of a hold in Redis.
UPDATE bookings SET expires_at = $2, updated_at = now() WHERE id = $1 AND status = 'PENDING' AND expires_at <> $2;
