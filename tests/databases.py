"""Migrated, empty databases for the tests. One is emptied and used again: copying the template takes ten times as long.

A database that cannot be made like new (another shape, other rows than the template's, grown) is dropped instead.
"""

import subprocess
from itertools import count
from typing import Any

from engine.embedded.postgres import EmbeddedPostgres

GROWN_BYTES = 4 * 1024 * 1024
"""A database that is so much larger than its template is dropped: its dead rows would slow the next test down."""

KEPT = ("deployment", "schema_migrations")
"""Tables whose rows the migrations have made."""

STATE = """
SELECT md5(concat(
    (SELECT string_agg(concat_ws(',', oid, relname, relkind, relhastriggers, reloptions), ';' ORDER BY oid)
     FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    (SELECT string_agg(pg_attribute::text, ';' ORDER BY attrelid, attnum) FROM pg_attribute
     WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)),
    (SELECT string_agg(pg_constraint::text, ';' ORDER BY oid) FROM pg_constraint),
    (SELECT string_agg(pg_trigger::text, ';' ORDER BY oid) FROM pg_trigger),
    (SELECT string_agg(pg_proc::text, ';' ORDER BY oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
    (SELECT string_agg(setconfig::text, ';') FROM pg_db_role_setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())),
    (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384),
    (SELECT string_agg(deployment::text, ';') FROM deployment),
    (SELECT string_agg(schema_migrations::text, ';' ORDER BY schema_migrations) FROM schema_migrations)
)) AS state, pg_database_size(current_database()) AS bytes
"""
"""What a used database must have in common with a fresh copy: its shape, and the rows that are kept."""

RESET_SEQUENCES = """
SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false)
FROM pg_sequences WHERE last_value IS NOT NULL"""

TAKE_BACK = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}' \\g /dev/null
ALTER DATABASE {name} RENAME TO spare_{name};
\\c spare_{name}
SELECT state = '{state}' AND bytes <= {bytes_max} AS like_new FROM ({state_now}) AS now \\gset
\\if :like_new
SET session_replication_role = replica;
{deletes}
{sequences} \\g /dev/null
\\else
\\c postgres
DROP DATABASE spare_{name} WITH (FORCE);
\\endif
\\echo :like_new
"""


class Databases:
    """Databases of one server, each lent to one test at a time.

    Args:
        postgres: the running server.
        template: the migrated database that all are copies of.
    """

    def __init__(self, postgres: EmbeddedPostgres, template: str) -> None:
        self._postgres = postgres
        self._template = template
        self._numbers = count(1)
        self._spare: list[str] = []
        tables = run_sql(postgres, template, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'").split()
        self._deletes = "\n".join(f"DELETE FROM {name};" for name in tables if name not in KEPT)
        self._state, bytes_used = run_sql(postgres, template, STATE).strip().split("|")
        self._bytes_max = int(bytes_used) + GROWN_BYTES

    def lend(self) -> str:
        """Give the name of a migrated, empty database that nobody else has; no name comes twice."""
        name = f"test_{next(self._numbers)}"
        if not self._spare:
            run_sql(self._postgres, "postgres", f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY file_copy")
            return name
        # Under its new name nobody finds it who still had the old one.
        run_sql(self._postgres, "postgres", f"ALTER DATABASE {self._spare.pop()} RENAME TO {name}")
        return name

    def take_back(self, name: str) -> None:
        """End whoever is still connected, and empty the database for the next test, or drop it."""
        sql = TAKE_BACK.format(
            name=name,
            state=self._state,
            bytes_max=self._bytes_max,
            state_now=STATE,
            deletes=self._deletes,
            sequences=RESET_SEQUENCES,
        )
        try:
            like_new = run_sql(self._postgres, "postgres", sql).split()[-1]
        except RuntimeError:  # a process of the test has come back in between
            run_sql(self._postgres, "postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            return
        if like_new == "t":
            self._spare.append(f"spare_{name}")


def run_sql(postgres: EmbeddedPostgres, database: str, sql: str) -> str:
    """Run SQL through psql, outside of any event loop; give its unadorned output."""
    psql = [postgres.program.path.with_name("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    done = subprocess.run([*psql, "-d", postgres.url(database)], input=sql, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout


async def empty(connection: Any) -> None:
    """Remove all that tests write into a database, and begin its numbers anew.

    TRUNCATE takes thirty times as long for a few rows: it makes a new file for each table and index.
    """
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    deletes = [f"DELETE FROM {row['tablename']}" for row in tables if row["tablename"] not in KEPT]
    async with connection.transaction():
        await connection.execute(";".join(["SET LOCAL session_replication_role = replica", *deletes, RESET_SEQUENCES]))
