-- Which booking a capture pays for.
SELECT booking_id FROM captures WHERE gateway = $1 AND session_id = $2;
