-- Note how far a gateway was asked, and when it is asked next.
UPDATE gateway_cursors
SET asked_until = greatest(asked_until, to_timestamp($2::bigint / 1000.0)), due_at = now() + $3
WHERE gateway = $1;
