-- The event that told of a session's payment.
SELECT event_id FROM events WHERE session_id = :session_id AND type = 'payment.success'
