-- Inserts an auditorium unless the cinema has one of that name; gives nothing then.
INSERT INTO auditoriums (cinema_id, name, layout_id) VALUES ($1, $2, $3)
ON CONFLICT (cinema_id, name) DO NOTHING
RETURNING id;
