-- Whether a booking has money that bought tickets or may still buy them, other than of the given session.
SELECT EXISTS (
    SELECT FROM captures
    WHERE booking_id = $1 AND (gateway, session_id) <> ($2, $3) AND (outcome IS NULL OR outcome = 'TICKETS')
);
