-- Say that announcements were turned into notifications and deliveries.
UPDATE announcements SET spread_at = now() WHERE id = ANY($1::bigint[]);
