-- Take captures without an outcome whose time has come, each for one worker, later at each try.
WITH due AS (
    SELECT gateway, session_id FROM captures
    WHERE outcome IS NULL AND settle_due <= now()
    ORDER BY settle_due LIMIT $1
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE captures SET tries = tries + 1, settle_due = now() + least(power(2, tries + 2), 60) * interval '1 second'
    FROM due WHERE captures.gateway = due.gateway AND captures.session_id = due.session_id
    RETURNING captures.gateway, captures.session_id
)
SELECT capture_records.* FROM taken JOIN capture_records USING (gateway, session_id);
