-- Every time that a gateway was asked for a refund.
SELECT attempt, outcome, error, unix_ms(begun_at) AS begun_at_ms, unix_ms(ended_at) AS ended_at_ms
FROM refund_attempts WHERE refund_id = $1 ORDER BY attempt;
