-- How an attempt stands, and how long ago it began.
SELECT outcome, clock_timestamp() - begun_at AS age FROM refund_attempts WHERE refund_id = $1 AND attempt = $2;
