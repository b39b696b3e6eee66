-- Take back that a ticket was used.
UPDATE check_ins SET undone_at = now(), undone_by = $2, undo_reason = $3 WHERE ticket_id = $1 AND undone_at IS NULL;
