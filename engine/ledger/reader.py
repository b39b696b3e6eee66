"""The one reader of each partition: stream -> batch -> transaction -> COMMIT -> wake-up -> XACK -> trim.

A worker has several, each with a session and a share of the partitions of its own, as those of other workers are: while
PostgreSQL works on one's batch, Python decodes another's.
"""

import asyncio
import os
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from engine import limits
from engine.cancellation import end_if_cancelled
from engine.errors import Unavailable
from engine.ledger.database import LOST, prepare_connection, session_settings
from engine.ledger.fact_stream import Entry
from engine.ledger.facts import Fact, UnnumberedEntry, decode_fact, readable
from engine.ledger.outcomes import publish_outcomes
from engine.ledger.partitions import APPLICATION, Partitions
from engine.ledger.projector import Describe, Projection, close_gap, project, set_aside_entry
from engine.ledger.spread_streams import fact_streams
from engine.ledger.turns import Turns
from engine.ledger.unseen_sales import UnseenSales

log = structlog.get_logger()

CONNECT_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 8.0
RETRY_S = 0.5


@dataclass
class _Session:
    """What ends with the connection to PostgreSQL."""

    connection: Any
    partitions: Partitions
    parked: dict[int, dict[bytes, tuple[Fact, float]]] = field(default_factory=lambda: defaultdict(dict))
    unread: set[int] = field(default_factory=set)
    to_trim: set[int] = field(default_factory=set)
    next_beat: float = 0.0
    next_sign: float = 0.0
    next_trim: float = 0.0


class FactReader:
    """Reads the facts of its share of the partitions into the ledger.

    Args:
        database_url: PostgreSQL; the reader has a session of its own, whose locks say what it may read.
        client: made by `open_redis`.
        describe: knows the layouts.
        worker: the id under which this reader takes its share.
        gap_ms: how long a fact may wait for those before it.
        turns: shared by the readers of one process.
    """

    def __init__(
        self,
        database_url: str,
        client: redis.asyncio.Redis,
        describe: Describe,
        *,
        worker: UUID | None = None,
        gap_ms: int = limits.FACT_GAP_MS,
        turns: Turns | None = None,
    ) -> None:
        self._database_url = database_url
        self._redis = client
        self._describe = describe
        self.worker = worker or uuid4()
        self._gap_s = gap_ms / 1000
        self._turns = turns or Turns()
        self._turns.readers.append(self.worker)
        self._streams = fact_streams(client)
        self._unseen = UnseenSales(client)
        self.partitions: tuple[int, ...] = ()

    async def run(self) -> None:
        """Read until cancelled. Whatever fails is logged and tried again."""
        while True:
            try:
                await self._hold_session()
            except (Unavailable, *LOST) as error:
                log.warning("reader_without_ledger", error=str(error))
            except Exception:
                log.exception("reader_failed")
            self.partitions = ()
            await asyncio.sleep(RETRY_S)

    async def _hold_session(self) -> None:
        connection = await asyncpg.connect(
            self._database_url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=session_settings(f"{APPLICATION}{self.worker}"),
        )
        await prepare_connection(connection)
        name = f"{socket.gethostname()}:{os.getpid()}"
        partitions = Partitions(connection, self.worker, name, self._turns.readers)
        session = _Session(connection, partitions)
        try:
            while True:
                await self._turn(session)
        except asyncio.CancelledError:
            with suppress(TimeoutError, *LOST):
                await asyncio.wait_for(partitions.leave(), CONNECT_TIMEOUT_S)
            raise
        finally:
            self._streams.leave(partitions.owned)
            connection.terminate()

    async def _turn(self, session: _Session) -> None:
        """Do what is due, then wait for facts until the next heartbeat."""
        end_if_cancelled()
        if time.monotonic() >= session.next_beat:
            await self._beat(session)
        try:
            await self._look_after(session)
            await self._read(session)
            session.unread.update(self._streams.failed() & set(self.partitions))
        except RedisError as error:
            log.warning("reader_without_redis", error=str(error))
            # An answer may have been lost after the entries were handed out: read everything pending again.
            session.unread.update(self.partitions)
            await asyncio.sleep(RETRY_S)

    async def _beat(self, session: _Session) -> None:
        session.next_beat = session.next_sign = time.monotonic() + limits.WORKER_BEAT_MS / 1000
        taken, given = await session.partitions.rebalance()
        self._streams.leave(given)
        for partition in given:
            session.parked.pop(partition, None)
            session.to_trim.discard(partition)
            session.unread.discard(partition)
        session.unread.update(taken)
        self.partitions = session.partitions.owned
        if taken or given:
            log.info("partitions_moved", taken=len(taken), given_up=len(given), owned=len(self.partitions))

    async def _look_after(self, session: _Session) -> None:
        """Read what was left unacknowledged, close gaps that will not fill, trim."""
        if session.unread:
            pending = self._streams.begin(sorted(session.unread), limits.FACTS_PER_BATCH_MAX)
            async for partition, entries in pending:
                read = {entry for _, entry, _ in entries}
                parked = session.parked[partition]
                session.parked[partition] = {entry: parked[entry] for entry in parked.keys() & read}
                await self._process(session, entries)
                session.to_trim.add(partition)
                session.unread.discard(partition)
                await self._give_sign(session)
        if time.monotonic() >= session.next_trim:
            session.next_trim = time.monotonic() + limits.TRIM_EVERY_MS / 1000
            for partition in sorted(session.to_trim):
                await self._streams.trim(partition)
                await self._give_sign(session)
            session.to_trim.clear()
            await self._find_strays(session)
        await self._close_gaps(session)
        await self._unseen.look(session.connection)

    async def _give_sign(self, session: _Session) -> None:
        """Beat, if it is time, amid what may take longer than a worker may be silent.

        Not after every batch: each beat is a COMMIT of its own, which waits for the disk as the batch's did.
        """
        if time.monotonic() >= session.next_sign:
            session.next_sign = time.monotonic() + limits.WORKER_BEAT_MS / 1000
            await session.partitions.beat()

    async def _find_strays(self, session: _Session) -> None:
        """Notice entries that a predecessor took after we had looked for what it left."""
        counts = await self._streams.pending_counts(self.partitions)
        session.unread.update(p for p, count in counts.items() if count != len(session.parked.get(p, ())))

    async def _close_gaps(self, session: _Session) -> None:
        patience_over = time.monotonic() - self._gap_s
        late = [
            (partition, fact)
            for partition, parked in session.parked.items()
            for fact, since in parked.values()
            if since <= patience_over
        ]
        if late:
            # What is missing may be in our hands without our knowing, if we stood still or a predecessor took it.
            await self._find_strays(session)
        late = [(partition, fact) for partition, fact in late if partition not in session.unread]
        for place in {(fact.showtime, fact.generation) for _, fact in late}:
            first = min(fact.seq for _, fact in late if (fact.showtime, fact.generation) == place)
            await close_gap(session.connection, place, first)
        session.unread.update(partition for partition, _ in late)

    async def _read(self, session: _Session) -> None:
        wait_s = max(session.next_beat - time.monotonic(), 0.001)
        if not self.partitions:
            await asyncio.sleep(wait_s)
            return
        block_ms = max(1, min(limits.FACTS_READ_BLOCK_MS, int(wait_s * 1000)))
        entries = await self._streams.read_new(self.partitions, block_ms, limits.FACTS_PER_BATCH_MAX)
        await self._process(session, entries)

    async def _process(self, session: _Session, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), limits.FACTS_PER_BATCH_MAX):
            facts = await self._decode(session, entries[start : start + limits.FACTS_PER_BATCH_MAX])
            places = {(fact.showtime, fact.generation) for fact in facts}
            waiting = [
                fact
                for partition in {fact.partition for fact in facts}
                for fact, _ in session.parked[partition].values()
                if (fact.showtime, fact.generation) in places
            ]
            if facts:
                async with self._turns.turn(len(facts)):
                    projection = await project(session.connection, facts + waiting, self._describe)
                await self._settle(session, projection)
            # A long backlog must not look like a frozen worker.
            await self._give_sign(session)

    async def _decode(self, session: _Session, entries: Sequence[Entry]) -> list[Fact]:
        facts = []
        for partition, entry, fields in entries:
            if not fields:
                log.error("entry_deleted_unread", partition=partition, entry=entry.decode())
                await self._streams.acknowledge({partition: [entry]})
                continue
            try:
                facts.append(decode_fact(partition, entry, fields))
            except UnnumberedEntry as error:
                content = {readable(name): readable(value) for name, value in fields.items()}
                await set_aside_entry(session.connection, partition, entry, content, str(error))
                await self._streams.acknowledge({partition: [entry]})
        return facts

    async def _settle(self, session: _Session, projection: Projection) -> None:
        """After COMMIT: wake up waiters, acknowledge, and remember what still waits."""
        await publish_outcomes(self._redis, projection.sessions)
        done: dict[int, list[bytes]] = defaultdict(list)
        for fact in projection.done:
            done[fact.partition].append(fact.entry)
            session.parked[fact.partition].pop(fact.entry, None)
        for fact in projection.parked:
            session.parked[fact.partition].setdefault(fact.entry, (fact, time.monotonic()))
        if done:
            session.to_trim.update(done)
            short = await self._streams.acknowledge(done)
            self._unseen.doubt(fact.showtime for fact in projection.done if fact.partition in short)
