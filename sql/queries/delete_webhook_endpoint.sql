-- Delete an endpoint: it is off and has no secrets; its log stays for a while.
UPDATE webhook_endpoints SET
    active = false, off_reason = coalesce(off_reason, 'operator'), off_at = coalesce(off_at, now()),
    secrets = '{}', former_until = NULL, deleted_at = now()
WHERE id = $1 AND deleted_at IS NULL;
