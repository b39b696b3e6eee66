-- Says whether PostgreSQL knows a time zone by this name.
SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1);
