-- Reads one layout; its body as text, for a decoder that knows its shape.
SELECT id, name, body::text AS body FROM layouts WHERE id = $1;
