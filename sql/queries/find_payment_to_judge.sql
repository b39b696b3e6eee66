-- A payment with the showtime it pays for, and whether its booking has no newer session.
SELECT payments.booking_id, payments.status, payments.amount_minor, payments.currency, bookings.showtime_id,
       NOT EXISTS (SELECT FROM payments AS newer
                   WHERE newer.booking_id = payments.booking_id
                     AND (newer.created_at, newer.session_id) > (payments.created_at, payments.session_id)) AS newest
FROM payments JOIN bookings ON bookings.id = payments.booking_id
WHERE payments.gateway = $1 AND payments.session_id = $2;
