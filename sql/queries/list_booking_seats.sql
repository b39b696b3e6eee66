-- The seats of bookings with their prices.
SELECT booking_id, seat_index, seat, tier, price_minor FROM booking_seats WHERE booking_id = ANY ($1::uuid[]);
