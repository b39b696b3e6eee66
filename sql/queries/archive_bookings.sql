-- Remove the seats of ended bookings that the caller has locked. A second statement: it sees the money that came before
-- the lock, which is to buy those very seats.
WITH idle AS (
    SELECT id FROM unnest($1::uuid[]) AS due (id)
    WHERE NOT EXISTS (SELECT FROM captures WHERE booking_id = due.id AND outcome IS NULL)
), seats AS (
    DELETE FROM booking_seats USING idle WHERE booking_seats.booking_id = idle.id
)
UPDATE bookings SET archived_at = now() FROM idle WHERE bookings.id = idle.id RETURNING bookings.id;
