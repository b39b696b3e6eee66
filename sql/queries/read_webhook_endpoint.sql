-- One endpoint that was not deleted; its newest secret only if asked for.
SELECT webhook_endpoint_records.*,
       CASE WHEN $2 THEN (SELECT secrets[1] FROM webhook_endpoints WHERE id = $1) END AS secret
FROM webhook_endpoint_records WHERE id = $1;
