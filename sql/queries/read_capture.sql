-- One capture with what is needed to sell its seats.
SELECT * FROM capture_records WHERE gateway = $1 AND session_id = $2;
