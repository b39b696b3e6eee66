"""The partitions' fact streams, as their one reader sees them.

The consumer group is `ledger`, and whoever holds a partition reads under one consumer name, so that a successor finds
what its predecessor left unacknowledged.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from engine.seats.keys import partition_key

GROUP = "ledger"
CONSUMER = "reader"

Entry = tuple[int, bytes, Mapping[bytes, bytes]]
"""(partition, stream id, fields); the fields are empty when the entry was deleted before it was acknowledged."""


@dataclass(frozen=True)
class Position:
    """How far a partition's reader is. Ids compare as `entry_order` says.

    Attributes:
        end: id of the newest entry ever appended; `0-0` for none.
        delivered: id of the newest entry that was read.
        first_pending: id of the oldest entry that was read and is not acknowledged; None when there is none.
        pending: how many are not acknowledged.
    """

    end: bytes
    delivered: bytes
    first_pending: bytes | None
    pending: int

    def applied(self, entry: bytes) -> bool:
        """Whether everything up to that entry is in the ledger: only what is committed is acknowledged."""
        if entry_order(self.delivered) < entry_order(entry):
            return False
        return self.first_pending is None or entry_order(self.first_pending) > entry_order(entry)


def entry_order(entry: bytes) -> tuple[int, int]:
    """Give what stream ids are sorted by."""
    ms, _, number = entry.partition(b"-")
    return int(ms), int(number or 0)


class FactStreams:
    """The streams of some partitions. Redis' own errors rise from every method."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        # The client's answers are typed as everything that any protocol version may give.
        self._redis: Any = client

    async def open(self, partitions: Iterable[int]) -> None:
        """Make the consumer group where it is missing, from the stream's beginning."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for partition in partitions:
                pipeline.xgroup_create(partition_key(partition, "facts"), GROUP, id="0", mkstream=True)
            answers = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, RedisError) and not str(answer).startswith("BUSYGROUP"):
                raise answer

    async def begin(self, partitions: Sequence[int], count: int) -> AsyncIterator[tuple[int, list[Entry]]]:
        """Begin to read partitions: give what is pending in each."""
        for partition in partitions:
            await self.open([partition])
            yield partition, await self.read_pending(partition, count)

    def failed(self) -> set[int]:
        """Give partitions whose node failed since the last look; with one node for all, that is raised instead."""
        return set()

    def leave(self, partitions: Iterable[int]) -> None:
        """Read these partitions no longer."""

    async def read_new(self, partitions: Sequence[int], block_ms: int, count: int) -> list[Entry]:
        """Wait for entries that nobody has read; `count` bounds those of each partition."""
        streams = {partition_key(partition, "facts"): ">" for partition in partitions}
        answer = await self._redis.xreadgroup(GROUP, CONSUMER, streams, count=count, block=block_ms)
        names = {partition_key(partition, "facts").encode(): partition for partition in partitions}
        return [(names[name], entry, fields) for name, entries in answer for entry, fields in entries]

    async def read_pending(self, partition: int, count: int) -> list[Entry]:
        """Give entries that were read before, by whomever, and not acknowledged; all of them, `count` at a time."""
        found: list[Entry] = []
        after = b"0"
        while True:
            key = partition_key(partition, "facts")
            answer = await self._redis.xreadgroup(GROUP, CONSUMER, {key: after}, count=count)
            entries = answer[0][1] if answer else []
            found += [(partition, entry, fields or {}) for entry, fields in entries]
            if len(entries) < count:
                return found
            after = entries[-1][0]

    async def acknowledge(self, entries: Mapping[int, Sequence[bytes]]) -> set[int]:
        """Acknowledge entries, given by partition, whose facts are committed; gives where not all were pending."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for partition, ids in entries.items():
                pipeline.xack(partition_key(partition, "facts"), GROUP, *ids)
            counts = await pipeline.execute()
        return {partition for (partition, ids), count in zip(entries.items(), counts, strict=True) if count < len(ids)}

    async def pending_counts(self, partitions: Sequence[int]) -> dict[int, int]:
        """Count what is read and not acknowledged."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for partition in partitions:
                pipeline.xpending(partition_key(partition, "facts"), GROUP)
            answers = await pipeline.execute()
        return {partition: answer["pending"] for partition, answer in zip(partitions, answers, strict=True)}

    async def position(self, partition: int) -> Position:
        """Look at the group first and at what is pending afterwards.

        In the other order an entry could be read and left unacknowledged in between, and seem to be applied.
        """
        key = partition_key(partition, "facts")
        if not await self._redis.exists(key):
            return Position(b"0-0", b"0-0", None, 0)
        stream = await self._redis.xinfo_stream(key)
        groups: list[dict[str, Any]] = await self._redis.xinfo_groups(key)
        known = next((group["last-delivered-id"] for group in groups if group["name"] == GROUP.encode()), None)
        end, newest, delivered = stream["last-generated-id"], stream["last-entry"], known or b"0-0"
        if newest is None or entry_order(newest[0]) <= entry_order(delivered):
            # What came after it is gone: a group that was made again may never get that far.
            delivered = max(delivered, end, key=entry_order)
        if known is None:
            return Position(end, delivered, None, 0)
        pending = await self._redis.xpending(key, GROUP)
        return Position(end, delivered, pending["min"], pending["pending"])

    async def trim(self, partition: int) -> int:
        """Drop what is committed and acknowledged, never by length: give how many entries went.

        Others may read and acknowledge between our looks. An entry that goes is not newer than the group's last one at
        the first look, so it was read; nor was it pending at the second, so it was acknowledged. Neither ends again:
        whatever is read or appended later is newer, since ids of a stream only grow, even when the clock goes back.
        """
        position = await self.position(partition)
        keep = position.first_pending
        if keep is None or entry_order(keep) > entry_order(position.delivered):
            ms, number = entry_order(position.delivered)
            keep = b"%d-%d" % (ms, number + 1)
        return int(await self._redis.xtrim(partition_key(partition, "facts"), minid=keep.decode(), approximate=False))

    async def read_range(self, partition: int, first: bytes, last: bytes, count: int) -> list[Entry]:
        """Give entries between two ids, both included, read or not."""
        entries = await self._redis.xrange(partition_key(partition, "facts"), min=first, max=last, count=count)
        return [(partition, entry, fields) for entry, fields in entries]
