-- Write the seats of bookings with their frozen prices.
INSERT INTO booking_seats (booking_id, seat_index, seat, tier, price_minor)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::bigint[])
ON CONFLICT (booking_id, seat_index) DO NOTHING;
