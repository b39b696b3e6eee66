"""Generations: each life of a Redis node has a number, so that state from another life is recognised."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from engine.ledger.database import reading, transaction
from engine.ledger.queries import query

GENERATIONS_LOCK = 0x5EA7_40E5
"""The advisory lock under which generations begin, so that all who ask at once get the same."""


class Generations:
    """Gives the generation of a Redis from what it says about itself."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def identify(self, run_id: str, replication_id: str, *, begin: bool = True) -> int:
        """Give the number of this pair, the same for all who ask; unless it was the last one met, it gets the next.

        A master that was met before another one, and is met again, was not a replica in between: its data lacks what
        the other one sold.

        Args:
            run_id: `run_id` of INFO: changes when the server starts.
            replication_id: `master_replid` of INFO: changes when a replica is promoted.
            begin: whether another one may become the next; else the answer is 0.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with reading(self._pool) as connection:
            known = await connection.fetchval(query("find_generation"), run_id, replication_id)
        if known is None and begin:
            async with transaction(self._pool) as connection:
                await connection.execute(query("lock_generations"), GENERATIONS_LOCK)
                known = await connection.fetchval(query("find_generation"), run_id, replication_id)
                if known is None:
                    known = await connection.fetchval(query("insert_generation"), run_id, replication_id)
        return int(known or 0)

    async def house(
        self, partitions: Sequence[int], run_id: str, replication_id: str, above: int = 0
    ) -> Mapping[int, int]:
        """Give the number of each partition's stay on a node of a cluster: the same for all who ask while it lasts.

        A partition that was on another node in between gets a new number, so that those of a showtime only grow.

        Args:
            partitions: which the node says it has.
            run_id, replication_id: as of `identify`.
            above: no number is lower than this one.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with reading(self._pool) as connection:
            found = await _homes(connection, partitions, run_id, replication_id, above)
        if len(found) < len(partitions):
            async with transaction(self._pool) as connection:
                await connection.execute(query("lock_generations"), GENERATIONS_LOCK)
                found = await _homes(connection, partitions, run_id, replication_id, above)
                moved = [partition for partition in partitions if partition not in found]
                rows = await connection.fetch(query("insert_homes"), moved, run_id, replication_id)
                found |= {row["partition"]: row["generation"] for row in rows}
        return found


async def _homes(
    connection: Any, partitions: Sequence[int], run_id: str, replication_id: str, above: int
) -> dict[int, int]:
    rows = await connection.fetch(query("find_homes"), partitions)
    return {
        row["partition"]: row["generation"]
        for row in rows
        if (row["run_id"], row["replication_id"]) == (run_id, replication_id) and row["generation"] >= above
    }
