"""Whether the ledger has applied all facts of a showtime that are in the stream."""

import asyncio
import time
from collections import defaultdict

import asyncpg
import redis.asyncio

from engine.errors import Unavailable
from engine.ledger.database import reading
from engine.ledger.fact_stream import FactStreams, Position, entry_order
from engine.ledger.queries import query
from engine.limits import FACTS_PER_BATCH_MAX, LOAD_POLL_MS
from engine.seats.keys import partition_of


class Drain:
    """Waits for the reader of a partition, wherever it runs."""

    def __init__(self, client: redis.asyncio.Redis, pool: asyncpg.Pool) -> None:
        self._streams = FactStreams(client)
        self._pool = pool

    async def wait(self, showtime: int, deadline: float) -> None:
        """Wait until the ledger has every fact of the showtime that the stream has now.

        Facts of other showtimes are not waited for.

        Args:
            showtime: its number; scripts must not be able to append to it any more.
            deadline: of `time.monotonic()`.

        Raises:
            Unavailable: `showtime_frozen`: the facts did not arrive in time; no worker may be running.
        """
        partition = partition_of(showtime)
        end = (await self._streams.position(partition)).end
        while await self._behind(showtime, partition, end):
            if time.monotonic() > deadline:
                raise Unavailable("showtime_frozen", "Facts of the showtime are on their way to the ledger.")
            await asyncio.sleep(LOAD_POLL_MS / 1000)

    async def drained(self, showtime: int) -> bool:
        """Whether the ledger has every fact of the showtime that the stream has now."""
        partition = partition_of(showtime)
        end = (await self._streams.position(partition)).end
        return not await self._behind(showtime, partition, end)

    async def _behind(self, showtime: int, partition: int, end: bytes) -> bool:
        position = await self._streams.position(partition)
        if position.applied(end):
            return False
        found = await self._unapplied(showtime, partition, position, end)
        if not found:
            return False
        async with reading(self._pool) as connection:
            rows = await connection.fetch(query("list_fact_heads"), showtime)
        heads = {row["generation"]: row["seq"] for row in rows}
        return any(seq > heads.get(generation, 0) for generation, seq in found.items())

    async def _unapplied(self, showtime: int, partition: int, position: Position, end: bytes) -> dict[int, int]:
        """Give the highest seq per generation that the showtime has in the part of the stream not yet passed."""
        number, found = b"%d" % showtime, defaultdict[int, int](int)
        first = position.first_pending or position.delivered
        while True:
            entries = await self._streams.read_range(partition, first, end, FACTS_PER_BATCH_MAX)
            for _, _, fields in entries:
                if fields.get(b"showtime") == number and fields.get(b"seq", b"").isdigit():
                    generation = int(fields.get(b"generation", b"0"))
                    found[generation] = max(found[generation], int(fields[b"seq"]))
            if len(entries) < FACTS_PER_BATCH_MAX:
                return found
            ms, count = entry_order(entries[-1][1])
            first = b"%d-%d" % (ms, count + 1)
