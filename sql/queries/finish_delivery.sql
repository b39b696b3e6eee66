-- Note that an endpoint has taken an event; also one that was taken up by another worker meanwhile.
UPDATE webhook_deliveries SET status = 'DELIVERED', due_at = NULL, ended_at = now()
WHERE id = $1 AND status = 'PENDING';
