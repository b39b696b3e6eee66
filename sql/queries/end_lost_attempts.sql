-- Attempts that nobody has told the end of: whoever made them is gone, and the gateway may have done its part.
UPDATE refund_attempts SET ended_at = now(), outcome = 'UNKNOWN', error = 'worker_lost'
WHERE refund_id = ANY ($1::uuid[]) AND ended_at IS NULL;
