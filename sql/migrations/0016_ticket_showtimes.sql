-- A ticket's showtime is its booking's, whose foreign key stands; the audit compares them (audit_tickets.sql). It was
-- looked up again for each ticket that is written.

ALTER TABLE tickets DROP CONSTRAINT tickets_showtime_id_fkey;
