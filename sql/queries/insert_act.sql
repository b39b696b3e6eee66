-- Write down an operator's act.
INSERT INTO acts (actor, verb, subject, reason, details) VALUES ($1, $2, $3, $4, $5) RETURNING id;
