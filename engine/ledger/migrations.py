"""Bring a database to the shape that this version needs, and refuse one that it does not fit."""

from hashlib import sha256
from typing import Any

import asyncpg

from engine.errors import CommandError
from engine.ledger.database import prepare_connection, reading, transaction
from engine.ledger.queries import query
from engine.limits import PARTITIONS
from engine.paths import SQL_DIR

MIGRATION_LOCK = 0x5EA7_10C0
"""The advisory lock under which migrations run, so that two starting processes take turns."""
CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


def migration_files() -> dict[str, str]:
    """Give the text of every migration by its name, in the order in which they are applied."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((SQL_DIR / "migrations").glob("*.sql"))}


async def migrate(database: str | asyncpg.Pool) -> list[str]:
    """Apply every migration that the database does not have yet, each in its own transaction.

    Args:
        database: a PostgreSQL URL, or a pool.

    Returns:
        The names that were applied now.

    Raises:
        CommandError: an applied migration was changed, or the database has one that this version does not know.
        Unavailable: `ledger_unavailable`.
    """
    if isinstance(database, str):
        async with asyncpg.create_pool(database, min_size=0, max_size=1, init=prepare_connection) as pool:
            return await migrate(pool)
    wanted = migration_files()
    applied_now = []
    for name, text in wanted.items():
        async with transaction(database) as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            await connection.execute(CREATE_TABLE)
            applied = await _applied(connection)
            _compare(wanted, applied)
            if name not in applied:
                # A migration may build an index for longer than any other statement may run.
                await connection.execute(text, timeout=3600)
                await connection.execute(query("insert_migration"), name, _checksum(text))
                applied_now.append(name)
    return applied_now


async def check_deployment(pool: asyncpg.Pool) -> None:
    """Refuse to start on a database of another shape, or made for another number of partitions.

    Raises:
        CommandError: one line that says what to do.
        Unavailable: `ledger_unavailable`.
    """
    wanted = migration_files()
    async with reading(pool) as connection:
        if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
            raise CommandError("the database is empty: run `seatlock migrate`")
        applied = await _applied(connection)
        _compare(wanted, applied)
        if missing := [name for name in wanted if name not in applied]:
            raise CommandError(f"the database lacks migration {missing[0]}: run `seatlock migrate`")
        await connection.execute(query("insert_deployment"), PARTITIONS)
        partitions = await connection.fetchval(query("read_deployment"))
    if partitions != PARTITIONS:
        raise CommandError(f"the database was made for {partitions} partitions and this version has {PARTITIONS}")


async def _applied(connection: Any) -> dict[str, str]:
    return {row["name"]: row["checksum"] for row in await connection.fetch(query("list_migrations"))}


def _compare(wanted: dict[str, str], applied: dict[str, str]) -> None:
    for name, checksum in applied.items():
        if name not in wanted:
            raise CommandError(f"the database has migration {name}, which this version does not know")
        if _checksum(wanted[name]) != checksum:
            raise CommandError(f"migration {name} was changed after it was applied")


def _checksum(text: str) -> str:
    return sha256(text.encode()).hexdigest()
