-- Let an account work for these cinemas.
INSERT INTO staff_cinemas (user_id, cinema_id, manager)
SELECT $1, cinema_id, $3 FROM unnest($2::integer[]) AS cinema_id;
