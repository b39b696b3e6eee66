"""The shape of the database: migrations, schema.sql, and what both refuse."""

import subprocess

import asyncpg
import pytest

from engine.errors import CommandError
from engine.ledger import migrations
from engine.ledger.database import open_pool
from engine.ledger.migrations import check_deployment, migrate, migration_files
from engine.paths import SQL_DIR
from engine.settings import Settings
from tests.conftest import run_sql


@pytest.fixture
def empty_url(postgres):
    """The URL of a database without a single table."""
    run_sql(postgres, "postgres", "CREATE DATABASE bare")
    yield postgres.url("bare")
    run_sql(postgres, "postgres", "DROP DATABASE bare WITH (FORCE)")


@pytest.fixture
async def pool(empty_url):
    """A pool of that database."""
    pool = await open_pool(Settings(database_url=empty_url))
    yield pool
    pool.terminate()


def shape(postgres, url):
    """Give a database's objects as pg_dump tells them, without what every dump has of its own."""
    pg_dump = postgres.program.path.with_name("pg_dump")
    command = [pg_dump, "--schema-only", "--no-owner", "--exclude-table=schema_migrations", "-d", url]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in dumped.splitlines() if line and not line.startswith(("--", "\\restrict", "\\unrestrict"))]


@pytest.mark.covers("001.36")
async def test_schema_sql_is_what_all_migrations_make(postgres, database_url, empty_url):
    """One can read the present shape in one file, and believe it."""
    run_sql(postgres, "bare", (SQL_DIR / "schema.sql").read_text(encoding="utf-8"))
    assert shape(postgres, empty_url) == shape(postgres, database_url)


async def test_migrations_are_applied_once_and_in_order(empty_url, pool):
    """A second run finds nothing to do; the database then fits."""
    assert await migrate(empty_url) == list(migration_files())
    assert await migrate(pool) == []
    await check_deployment(pool)


async def test_a_changed_migration_is_refused(pool, monkeypatch):
    """What was applied is history; a change needs a migration of its own."""
    await migrate(pool)
    changed = migration_files() | {"0001_catalogue": "SELECT 1;"}
    monkeypatch.setattr(migrations, "migration_files", lambda: changed)
    for start in (migrate, check_deployment):
        with pytest.raises(CommandError, match="migration 0001_catalogue was changed"):
            await start(pool)


async def test_a_database_of_a_later_version_is_refused(pool, monkeypatch):
    """An older program must not write into what it does not know."""
    await migrate(pool)
    fewer = dict(list(migration_files().items())[:-1])
    monkeypatch.setattr(migrations, "migration_files", lambda: fewer)
    with pytest.raises(CommandError, match="does not know"):
        await check_deployment(pool)


async def test_a_database_that_lacks_migrations_is_refused_at_start(pool):
    """Empty, or older than the program: one line that says what to do."""
    with pytest.raises(CommandError, match="run `seatlock migrate`"):
        await check_deployment(pool)
    await migrate(pool)
    await pool.execute("DELETE FROM schema_migrations WHERE name LIKE '0003%'")
    with pytest.raises(CommandError, match="lacks migration 0003_sales"):
        await check_deployment(pool)


async def test_a_deployment_keeps_its_number_of_partitions(pool, monkeypatch):
    """Another number would look for every showtime in another place."""
    await migrate(pool)
    await check_deployment(pool)
    monkeypatch.setattr(migrations, "PARTITIONS", 128)
    with pytest.raises(CommandError, match="made for 64 partitions"):
        await check_deployment(pool)


async def test_a_migration_that_fails_leaves_nothing(pool, monkeypatch):
    """Each runs in a transaction with the note that it ran."""
    broken = {"0001_broken": "CREATE TABLE half (id integer); SELECT 1/0;"}
    monkeypatch.setattr(migrations, "migration_files", lambda: broken)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(pool)
    assert await pool.fetchval("SELECT to_regclass('half') IS NULL")
