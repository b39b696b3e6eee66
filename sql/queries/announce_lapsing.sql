-- Announce that an unpaid booking is about to lapse, once; not when the ledger knows of its end or of its money.
INSERT INTO announcements (business_id, type, showtime_id, booking_id, data)
SELECT 'booking.lapsing:' || $1::uuid, 'booking.lapsing', $2::bigint, $1::uuid, $3::jsonb
WHERE NOT EXISTS (SELECT FROM bookings WHERE id = $1 AND status <> 'PENDING')
  AND NOT EXISTS (SELECT FROM captures WHERE booking_id = $1)
ON CONFLICT (business_id) DO NOTHING;
