-- One refund as operators read it.
SELECT * FROM refund_records WHERE id = $1;
