-- Send a delivery again later, the last time at its end; give it up after that, or at once if the endpoint is gone.
-- Whether it was given up is the answer; none if another attempt was begun meanwhile.
UPDATE webhook_deliveries SET
    status = CASE WHEN $4 OR give_up_at <= now() THEN 'DEAD' ELSE 'PENDING' END,
    due_at = CASE WHEN $4 OR give_up_at <= now() THEN NULL
                  ELSE least(now() + $3::bigint * interval '1 millisecond', give_up_at) END,
    ended_at = CASE WHEN $4 OR give_up_at <= now() THEN now() END
WHERE id = $1 AND attempts = $2 AND status = 'PENDING'
RETURNING status = 'DEAD';
