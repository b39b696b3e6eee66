-- What became of the money of a session.
SELECT outcome FROM captures WHERE gateway = $1 AND session_id = $2;
