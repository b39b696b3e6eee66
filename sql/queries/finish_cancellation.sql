-- Note that nothing of a cancellation is left to do, if that is so. Refunds go their own way from here.
UPDATE cancellations SET done_at = now(), due_at = NULL
WHERE showtime_id = $1 AND done_at IS NULL AND closed_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM bookings WHERE showtime_id = $1 AND status IN ('PENDING', 'CONFIRMED'))
  AND NOT EXISTS (SELECT FROM tickets WHERE showtime_id = $1 AND restock_due IS NOT NULL)
  AND NOT EXISTS (SELECT FROM captures JOIN bookings ON bookings.id = captures.booking_id
                  WHERE captures.outcome IS NULL AND bookings.showtime_id = $1)
RETURNING showtime_id;
