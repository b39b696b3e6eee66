-- Changes a movie; a NULL leaves the column as it is. Its slug stays: it is in links.
UPDATE movies
SET title = coalesce($2, title), synopsis = coalesce($3, synopsis), duration_minutes = coalesce($4, duration_minutes),
    rating = coalesce($5, rating), genres = coalesce($6, genres)
WHERE id = $1
RETURNING id;
