"""Turns: readers of one process commit small batches one after the other, and large ones side by side.

A transaction costs about the same for one fact as for twenty. Two readers that each commit what trickles in would make
twice the transactions for the same facts; while one commits, what comes for the other gathers. A large batch is worth
a core of PostgreSQL's to itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from engine import limits


class Turns:
    """Shared by the readers of a process. Courtesy, not correctness: what a reader may commit its own locks say.

    Attributes:
        readers: their ids. If the process was frozen and nobody noticed, they go on, and do not end each other.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.readers: list[UUID] = []

    @asynccontextmanager
    async def turn(self, facts: int) -> AsyncIterator[None]:
        """Wait for the turn if so many facts make a small batch; never so long as to keep partitions waiting."""
        mine = facts < limits.FACTS_WITHOUT_TURN_MIN and await self._take()
        try:
            yield
        finally:
            if mine:
                self._lock.release()

    async def _take(self) -> bool:
        try:
            async with asyncio.timeout(limits.TURN_WAIT_MAX_MS / limits.SECOND_MS):
                await self._lock.acquire()
        except TimeoutError:
            # The other one waits for a lock or for a lost connection, which is no matter of these partitions.
            return False
        return True
