-- Change what is given of an endpoint. Switched on, it begins anew; switched off, it says that a person did it.
UPDATE webhook_endpoints SET
    url = coalesce($2, url),
    events = coalesce($3, events),
    description = coalesce($4, description),
    active = coalesce($5, active),
    off_reason = CASE WHEN coalesce($5, active) THEN NULL ELSE coalesce(off_reason, 'operator') END,
    off_at = CASE WHEN coalesce($5, active) THEN NULL ELSE coalesce(off_at, now()) END,
    failing_since = CASE WHEN active IS DISTINCT FROM $5 AND $5 THEN NULL ELSE failing_since END
WHERE id = $1 AND deleted_at IS NULL;
