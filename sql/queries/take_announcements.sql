-- Take announcements that were not spread yet, the oldest first, with whom they concern; the locks end with the
-- transaction that spreads them.
SELECT announcements.id, announcements.business_id, announcements.type, announcements.showtime_id,
       announcements.booking_id, announcements.refund_id, announcements.data,
       bookings.status_reason, refunds.business_id AS refund_business_id,
       coalesce(bookings.email, reminders.email) AS email,
       coalesce(bookings.phone, reminders.phone) AS phone,
       coalesce(bookings.locale, reminders.locale) AS locale
FROM announcements
LEFT JOIN bookings ON bookings.id = announcements.booking_id
LEFT JOIN reminders ON reminders.booking_id = announcements.booking_id
LEFT JOIN refunds ON refunds.id = announcements.refund_id
WHERE spread_at IS NULL
ORDER BY announcements.id LIMIT $1
FOR UPDATE OF announcements SKIP LOCKED;
