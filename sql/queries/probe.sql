-- Answer, if the database can.
SELECT 1;
