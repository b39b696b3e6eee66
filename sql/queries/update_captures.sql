-- Give captures of one gateway the outcome that facts led to.
UPDATE captures SET outcome = $3, outcome_at = now()
WHERE gateway = $1 AND session_id = ANY ($2::text[]) AND outcome IS NULL;
