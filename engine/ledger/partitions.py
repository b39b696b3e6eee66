"""Who reads which partition: advisory locks in the session that commits, heartbeats, and fair shares.

A worker that dies loses its session and with it its locks. One that is frozen is recognised by its old heartbeat;
another worker ends its session, so that what it may still try to commit is refused.
"""

import math
import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog

from engine.ledger.queries import query
from engine.limits import PARTITIONS, WORKER_STALE_MS

log = structlog.get_logger()

LOCK_CLASS = 0x5EA7
"""First number of each partition's advisory lock; the second one is the partition."""
APPLICATION = "seatlock-worker-"
"""Sessions of workers are named so, with the worker's id: a process number alone may have been used again."""


class Partitions:
    """The partitions of one worker, on its own session. PostgreSQL's errors rise from every method.

    Args:
        connection: the session that commits.
        worker: whose they are; a process with several readers is several workers here.
        name: of the process, for operators.
        ours: workers of this process. When it was frozen all of them are late, and none ends another for it.
    """

    def __init__(self, connection: Any, worker: UUID, name: str, ours: Sequence[UUID]) -> None:
        self._connection = connection
        self._worker = worker
        self._name = name
        self._ours = ours
        self._owned: list[int] = []

    @property
    def owned(self) -> tuple[int, ...]:
        """What this worker may read now, longest held first."""
        return tuple(self._owned)

    async def beat(self) -> None:
        """Say that this worker is alive: the session that commits says it, so it is true of what matters."""
        await self._connection.execute(query("beat_worker"), self._worker, self._name)

    async def rebalance(self) -> tuple[list[int], list[int]]:
        """Beat, end sessions of frozen workers, and take or give up partitions towards a fair share.

        Call it only between batches: what is given up must have nothing under way.

        Returns:
            The partitions taken, and those given up.
        """
        await self.beat()
        await self._end_frozen()
        live = await self._connection.fetchval(query("count_workers"), APPLICATION)
        share = math.ceil(PARTITIONS / max(live, 1))
        surplus = self._owned[share:]
        if surplus:
            await self._connection.execute(query("unlock_partitions"), LOCK_CLASS, surplus)
            self._owned = self._owned[:share]
            return [], surplus
        return await self._take(share - len(self._owned)), []

    async def leave(self) -> None:
        """Say goodbye, so that the others need not wait for a stale heartbeat."""
        await self._connection.execute(query("unlock_partitions"), LOCK_CLASS, self._owned)
        self._owned = []
        await self._connection.execute(query("remove_worker"), self._worker)

    async def _end_frozen(self) -> None:
        stale = await self._connection.fetch(query("remove_stale_workers"), self._ours, WORKER_STALE_MS)
        if stale:
            names = [f"{APPLICATION}{row['id']}" for row in stale]
            ended = await self._connection.fetchval(query("end_sessions"), names)
            log.warning("workers_frozen", names=names, sessions_ended=ended)

    async def _take(self, wanted: int) -> list[int]:
        if wanted <= 0:
            return []
        rows = await self._connection.fetch(query("list_locked_partitions"), LOCK_CLASS)
        free = sorted(set(range(PARTITIONS)) - {row["partition"] for row in rows})
        # Two workers that choose at the same time choose differently.
        chosen = random.sample(free, min(wanted, len(free)))
        tried = await self._connection.fetch(query("lock_partitions"), LOCK_CLASS, chosen)
        taken = [row["partition"] for row in tried if row["locked"]]
        self._owned += taken
        return taken
