-- Put a new secret before the former ones; these sign beside it for a while.
UPDATE webhook_endpoints SET
    secrets = array_prepend($2::text, CASE WHEN former_until > now() THEN secrets[:$3 - 1] ELSE secrets[:1] END),
    former_until = now() + $4::bigint * interval '1 millisecond'
WHERE id = $1 AND deleted_at IS NULL;
