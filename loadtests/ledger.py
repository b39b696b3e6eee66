"""What the ledger takes, read past the application: rows per second, beside raw COPY of the same rows; and lag.

    echo "go 1763740000.0 2000" | python -m loadtests.ledger postgresql://...

Says `ready` with how many rows there are, waits for a line that says from when on (Unix time) how many tickets more
are awaited, and tells as JSON: rows that were added, seconds from the begin of the first transaction to the end of the
last, seconds that COPY takes for them into empty tables of the same shape, and how long after it happened each later
fact was committed. Needs a server that keeps commit timestamps.
"""

import asyncio
import json
import sys
import time
from typing import Any

import asyncpg

TABLES = ("tickets", "facts", "announcements")
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.2
"""The times are those of the commits; whoever counts more often takes what is measured from the worker."""
TOOK = """
    SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)) - min(applied_at))::float8
    FROM facts WHERE applied_at >= to_timestamp($1)
"""
LAG = """
    SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - happened_at)::float8
    ) FROM facts WHERE happened_at >= to_timestamp($1)
"""


async def measure(url: str) -> dict[str, Any]:
    """Wait for the tickets, and measure; see the module."""
    connection = await asyncpg.connect(url)
    try:
        before = await _counts(connection)
        print(f"ready {json.dumps(before)}", flush=True)
        _, since, tickets = (await asyncio.to_thread(sys.stdin.readline)).split()
        deadline = time.monotonic() + PATIENCE_S
        while (come := await _count(connection, "tickets") - before["tickets"]) < int(tickets):
            if time.monotonic() > deadline:
                raise SystemExit(f"only {come} of {tickets} tickets came")
            await asyncio.sleep(LOOK_EVERY_S)
        after = await _counts(connection)
        lag_p50_s, lag_p99_s = await connection.fetchval(LAG, float(since)) or (0.0, 0.0)
        added = {table: after[table] - before[table] for table in TABLES}
        return {
            "rows": sum(added.values()),
            "seconds": await connection.fetchval(TOOK, float(since)),
            "copy_seconds": await _copy(connection, added),
            "lag_p50_s": lag_p50_s,
            "lag_p99_s": lag_p99_s,
        }
    finally:
        await connection.close()


async def _counts(connection: Any) -> dict[str, int]:
    return {table: await _count(connection, table) for table in TABLES}


async def _count(connection: Any, table: str) -> int:
    rows: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
    return rows


async def _copy(connection: Any, added: dict[str, int]) -> float:
    """Copy as many rows as were added into tables of the same columns, checks and indexes; gives the seconds."""
    took_s = 0.0
    for table, number in added.items():
        rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY ctid DESC LIMIT {number}")  # noqa: S608
        await connection.execute(f"CREATE TABLE raw_{table} (LIKE {table} INCLUDING ALL)")
        records = [tuple(row) for row in rows]
        began = time.perf_counter()
        await connection.copy_records_to_table(f"raw_{table}", records=records)
        took_s += time.perf_counter() - began
        await connection.execute(f"DROP TABLE raw_{table}")
    return took_s


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1]))), flush=True)
