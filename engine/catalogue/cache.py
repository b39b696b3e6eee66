"""A short memory in front of the ledger: one load at a time per key, and the last value while the ledger is away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from engine.errors import Unavailable
from engine.limits import LEDGER_PATIENCE_MS

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ShortMemory(Generic[K, V]):
    """Remembers what a loader gave.

    Args:
        load: gives the value of a key; what it raises reaches every waiting caller and is not remembered.
        ttl_ms: how long a value is believed.
        size_max: the entries used longest ago are forgotten beyond it.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        ttl_ms: int,
        size_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._ttl_s = ttl_ms / 1_000
        self._size_max = size_max
        self._clock = clock
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loads: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Give the value, at most `ttl_ms` old, older only while the loader is Unavailable.

        Raises:
            Unavailable: the loader is away and nothing is remembered.
            SeatlockError: whatever else the loader refuses with.
        """
        remembered = self._values.get(key)
        if remembered is not None:
            self._values.move_to_end(key)
            if self._clock() - remembered[0] < self._ttl_s:
                return remembered[1]
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = asyncio.ensure_future(self._refresh(key))
            load.add_done_callback(lambda done: self._finish(key, done))
        if remembered is None:
            # One caller that goes away must not fail the others.
            return await asyncio.shield(load)
        await asyncio.wait({load}, timeout=LEDGER_PATIENCE_MS / 1_000)
        if not load.done() or isinstance(load.exception(), Unavailable):
            return remembered[1]
        return load.result()

    def forget(self, key: K) -> None:
        """Load the key anew next time; a load that runs already does not count for later callers."""
        self._values.pop(key, None)
        self._loads.pop(key, None)

    async def _refresh(self, key: K) -> V:
        try:
            value = await self._load(key)
        except Unavailable:
            # Believe the old value for another while, or every caller would wait for a ledger that is away.
            if key in self._values:
                self._values[key] = (self._clock(), self._values[key][1])
            raise
        if self._loads.get(key) is asyncio.current_task():
            self._values[key] = (self._clock(), value)
            self._values.move_to_end(key)
            if len(self._values) > self._size_max:
                self._values.popitem(last=False)
        return value

    def _finish(self, key: K, load: "asyncio.Task[V]") -> None:
        if self._loads.get(key) is load:
            del self._loads[key]
        # The callers may all have gone; their going is no reason for a "never retrieved" line in the log.
        if not load.cancelled():
            load.exception()
