-- Says whether a name is that of a region's time zone, or UTC; not Factory, EST or Etc/GMT+7, where no cinema stands.
SELECT EXISTS (
    SELECT FROM pg_timezone_names
    WHERE name = $1 AND name ~ '^(UTC$|(Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/)'
);
