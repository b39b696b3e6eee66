-- Changes a cinema; a NULL leaves the column as it is. Its slug stays: it is in links.
UPDATE cinemas
SET name = coalesce($2, name), address = coalesce($3, address), policy = coalesce($4::jsonb, policy)
WHERE id = $1
RETURNING id;
