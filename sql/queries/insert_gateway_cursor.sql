-- Begin to ask a gateway what has happened: from the first payment that was opened there.
INSERT INTO gateway_cursors (gateway, asked_until)
SELECT $1, coalesce(min(created_at), now()) FROM payments WHERE gateway = $1
ON CONFLICT (gateway) DO NOTHING;
