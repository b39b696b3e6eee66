-- Give one customer's bookings to another, but for some; gives their ids.
UPDATE bookings SET subject = $2, updated_at = now()
WHERE subject = $1 AND id <> ALL ($3::uuid[])
RETURNING id;
