-- Write down that a ticket was used.
INSERT INTO check_ins (ticket_id, gate, checked_by) VALUES ($1, $2, $3);
