-- Changes an auditorium; a NULL leaves the column as it is.
UPDATE auditoriums SET name = coalesce($2, name), layout_id = coalesce($3, layout_id)
WHERE id = $1
RETURNING id;
