-- What was applied to this database.
SELECT name, checksum FROM schema_migrations ORDER BY name;
