-- One ticket as the door sees it.
SELECT * FROM door_ticket_records WHERE id = $1;
