-- What has gone back of a session's money, or is about to.
SELECT coalesce(sum(amount), 0) AS amount FROM refunds
WHERE session_id = :session_id AND status IN ('SETTLED', 'PENDING')
