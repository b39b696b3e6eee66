-- Give captures the outcome that facts led to.
UPDATE captures SET outcome = decided.outcome, outcome_at = now()
FROM unnest($1::text[], $2::text[], $3::text[]) AS decided (gateway, session_id, outcome)
WHERE captures.gateway = decided.gateway AND captures.session_id = decided.session_id AND captures.outcome IS NULL;
