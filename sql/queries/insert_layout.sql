-- Stores a layout, once per digest, and gives its id either way.
INSERT INTO layouts (digest, name, seat_count, tiers, body) VALUES ($1, $2, $3, $4, $5::text::jsonb)
ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest
RETURNING id;
