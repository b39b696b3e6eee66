-- Refunds of some status and some cinemas, or of all, newest first, below the one that a page ended with.
WITH page AS (
    SELECT refunds.id, refunds.created_at FROM refunds
    LEFT JOIN bookings ON bookings.id = refunds.booking_id
    LEFT JOIN showtimes ON showtimes.id = bookings.showtime_id
    LEFT JOIN auditoriums ON auditoriums.id = showtimes.auditorium_id
    WHERE ($1::text IS NULL OR refunds.status = $1)
      AND ($2::integer[] IS NULL OR auditoriums.cinema_id = ANY ($2))
      AND ($3::uuid IS NULL
           OR (refunds.created_at, refunds.id) < (SELECT last.created_at, last.id FROM refunds AS last WHERE last.id = $3))
    ORDER BY refunds.created_at DESC, refunds.id DESC LIMIT $4
)
SELECT refund_records.* FROM page JOIN refund_records USING (id) ORDER BY page.created_at DESC, page.id DESC;
