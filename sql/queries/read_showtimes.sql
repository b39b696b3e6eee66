-- Reads showtimes with their place and film; those that do not exist are left out.
SELECT * FROM programme WHERE id = ANY($1::bigint[]);
