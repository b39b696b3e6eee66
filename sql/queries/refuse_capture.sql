-- Decide that money goes back, if nothing else was decided before.
UPDATE captures SET outcome = 'REFUND', outcome_at = now()
WHERE gateway = $1 AND session_id = $2 AND outcome IS NULL
RETURNING amount_minor, currency;
