"""The fact streams of a cluster: each partition is read by itself; one whose node is away keeps no other waiting."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from time import monotonic

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from engine.cancellation import end_if_cancelled
from engine.cluster_client import ClusterClient
from engine.ledger.fact_stream import CONSUMER, GROUP, Entry, FactStreams
from engine.limits import FACTS_AWAY_RETRY_MS, SECOND_MS
from engine.seats.keys import partition_key

log = structlog.get_logger()


def fact_streams(client: redis.asyncio.Redis) -> FactStreams:
    """Give the reader's streams, as they lie: on one Redis or over a cluster."""
    return SpreadFactStreams(client) if isinstance(client, ClusterClient) else FactStreams(client)


class SpreadFactStreams(FactStreams):
    """Streams with a node each. What one node fails with is told by `failed`, and tried again after a while."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        super().__init__(client)
        self._reading: dict[int, asyncio.Task[list[Entry]]] = {}
        self._away_until: dict[int, float] = {}
        self._failed: set[int] = set()

    async def begin(self, partitions: Sequence[int], count: int) -> AsyncIterator[tuple[int, list[Entry]]]:
        """Begin to read partitions; one whose node is away is left out."""
        due = [partition for partition in partitions if self._away_until.get(partition, 0) <= monotonic()]
        pending = await asyncio.gather(*(self._begin(partition, count) for partition in due))
        for partition, entries in zip(due, pending, strict=True):
            if entries is not None:
                yield partition, entries

    async def _begin(self, partition: int, count: int) -> list[Entry] | None:
        try:
            await self.open([partition])
            entries = await self.read_pending(partition, count)
        except RedisError as error:
            self._fail(partition, error)
            return None
        self._away_until.pop(partition, None)
        return entries

    async def read_new(self, partitions: Sequence[int], block_ms: int, count: int) -> list[Entry]:
        """Wait for entries that nobody has read, at each partition by itself: Redis waits at one slot only."""
        for partition in partitions:
            if partition not in self._reading and partition not in self._away_until:
                reading = asyncio.create_task(self._read_one(partition, block_ms, count))
                reading.add_done_callback(_seen)
                self._reading[partition] = reading
        wait_s = block_ms / SECOND_MS
        if not self._reading:
            await asyncio.sleep(wait_s)
            return []
        await asyncio.wait(self._reading.values(), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        entries: list[Entry] = []
        for partition in [partition for partition, task in self._reading.items() if task.done()]:
            try:
                entries += self._reading.pop(partition).result()
            except RedisError as error:
                self._fail(partition, error)
        return entries

    async def _read_one(self, partition: int, block_ms: int, count: int) -> list[Entry]:
        stream = {partition_key(partition, "facts"): ">"}
        while True:
            end_if_cancelled()
            answer = await self._redis.xreadgroup(GROUP, CONSUMER, stream, count=count, block=block_ms)
            if answer:
                return [(partition, entry, fields) for entry, fields in answer[0][1]]

    async def acknowledge(self, entries: Mapping[int, Sequence[bytes]]) -> set[int]:
        """As one node does; where it fails the entries are read again, and seen to be in the ledger."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for partition, ids in entries.items():
                pipeline.xack(partition_key(partition, "facts"), GROUP, *ids)
            answers = await pipeline.execute(raise_on_error=False)
        short: set[int] = set()
        for (partition, ids), answer in zip(entries.items(), answers, strict=True):
            if isinstance(answer, Exception):
                self._fail(partition, answer)
            elif answer < len(ids):
                short.add(partition)
        return short

    async def pending_counts(self, partitions: Sequence[int]) -> dict[int, int]:
        """Count what is read and not acknowledged, where that can be asked."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for partition in partitions:
                pipeline.xpending(partition_key(partition, "facts"), GROUP)
            answers = await pipeline.execute(raise_on_error=False)
        pairs = zip(partitions, answers, strict=True)
        return {partition: answer["pending"] for partition, answer in pairs if not isinstance(answer, Exception)}

    async def trim(self, partition: int) -> int:
        """Drop what is committed and acknowledged; a node that is away keeps it until more is done there."""
        try:
            return await super().trim(partition)
        except RedisError as error:
            self._fail(partition, error)
            return 0

    def failed(self) -> set[int]:
        """Give the partitions that failed since the last look: what is pending there must be read again."""
        failed, self._failed = self._failed, set()
        return failed

    def leave(self, partitions: Iterable[int]) -> None:
        """Read these no longer. What was handed out to us all the same, its next reader finds pending."""
        for partition in partitions:
            self._away_until.pop(partition, None)
            if (task := self._reading.pop(partition, None)) is not None:
                task.cancel()

    def _fail(self, partition: int, error: Exception) -> None:
        if partition not in self._away_until:
            log.warning("partition_away", partition=partition, error=str(error))
        self._away_until[partition] = monotonic() + FACTS_AWAY_RETRY_MS / SECOND_MS
        self._failed.add(partition)


def _seen(reading: asyncio.Task[list[Entry]]) -> None:
    """Whoever left a partition need not hear why it could not be read."""
    if not reading.cancelled():
        reading.exception()
