"""Proof that a file, broken on purpose, still loads: `python -m tests.mutants.load_check FILE`.

A test that fails because nothing runs any more has noticed nothing. Python is imported, Lua compiled by a real server,
a migration run and a statement prepared by a real PostgreSQL.
"""

import asyncio
import importlib
import sys
import tempfile
from pathlib import Path

from engine.paths import ROOT

# What only some files need is imported where it is needed: this runs once per mutant.


def check_scripts(folder: Path) -> None:
    """Let a server compile every script."""
    from redis import Redis  # noqa: PLC0415

    from engine.embedded.binaries import find_valkey  # noqa: PLC0415
    from engine.embedded.valkey import EmbeddedValkey  # noqa: PLC0415
    from engine.seats.scripts import load_scripts  # noqa: PLC0415

    program = find_valkey()
    with EmbeddedValkey(folder / "valkey", program) as server, Redis.from_url(server.url) as client:
        for script in load_scripts(program.version).values():
            client.script_load(script.source)


def check_sql(folder: Path, file: Path) -> None:
    """Let a server run all migrations, and prepare the statement if the file is one."""
    from engine.embedded.binaries import find_postgres  # noqa: PLC0415
    from engine.embedded.postgres import EmbeddedPostgres  # noqa: PLC0415

    with EmbeddedPostgres(folder / "postgres", find_postgres(), settings={"fsync": "off"}) as server:
        asyncio.run(_migrate_and_prepare(server.url("postgres"), file))


async def _migrate_and_prepare(url: str, file: Path) -> None:
    import asyncpg  # noqa: PLC0415

    from engine.ledger.migrations import migrate  # noqa: PLC0415

    await migrate(url)
    if file.parent.name == "queries":
        connection = await asyncpg.connect(url)
        await connection.prepare(file.read_text(encoding="utf-8"))
        await connection.close()


def check(name: str) -> None:
    """Load one file of the tree."""
    file = ROOT / name
    with tempfile.TemporaryDirectory(prefix="seatlock-load-") as folder:
        if file.suffix == ".py":
            importlib.import_module(".".join(Path(name).with_suffix("").parts))
        elif file.suffix == ".lua":
            check_scripts(Path(folder))
        else:
            check_sql(Path(folder), file)


if __name__ == "__main__":
    check(sys.argv[1])
