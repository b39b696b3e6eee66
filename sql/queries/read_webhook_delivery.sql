-- One delivery of an endpoint.
SELECT * FROM webhook_delivery_records WHERE endpoint_id = $1 AND id = $2;
