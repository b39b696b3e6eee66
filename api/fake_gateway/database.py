"""The fake gateway's file: one SQLite database, one process. What was committed survives a kill -9."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from engine.paths import SQL_DIR

STEPS = ("book", "faults")
"""Each brings the tables one version further; `user_version` in the file counts them."""


class Database:
    """Statements of `sql/fake_gateway/`, by name. Calls are synchronous: short work on a local file."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it or bring it up to date if need be."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_statement("schema"))
        done: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        for step in STEPS[done:]:
            self._connection.executescript(_statement(step))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def run(self, name: str, **values: Any) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(_statement(name), values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside as a whole; nothing of it when it raises."""
        self._connection.execute("BEGIN IMMEDIATE")
        with self._connection:
            yield


@cache
def _statement(name: str) -> str:
    return (SQL_DIR / "fake_gateway" / f"{name}.sql").read_text(encoding="utf-8")
