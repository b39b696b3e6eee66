"""A short memory in front of the ledger: one load at a time per key, and the last value while the ledger is away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import Context
from itertools import takewhile
from typing import Generic, TypeVar

import structlog

from engine.errors import Unavailable
from engine.limits import LEDGER_PATIENCE_MS, RENEWED_AT_ONCE_MAX

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

log = structlog.get_logger()


class _Known(Generic[V]):
    """A value, when it was loaded, and whether it was asked for since."""

    __slots__ = ("asked", "loaded_at_s", "value")

    def __init__(self, value: V, loaded_at_s: float) -> None:
        self.value, self.loaded_at_s = value, loaded_at_s
        self.asked = False


class ShortMemory(Generic[K, V]):
    """Remembers what a loader gave.

    Args:
        load: gives the value of a key; what it raises reaches every waiting caller and is not remembered.
        ttl_ms: how long a value is believed.
        size_max: the entries used longest ago are forgotten beyond it; with `renew` those loaded longest ago.
        clock: monotonic seconds.
        renew: gives the values of many keys at once, leaving out those that are no more. With it, what is asked for
            again and again is loaded anew before its time is over, in the background and together: nobody waits for
            it, and a thousand values cost one question and not a thousand.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        ttl_ms: int,
        size_max: int,
        clock: Callable[[], float] = time.monotonic,
        renew: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]] | None = None,
    ) -> None:
        self._load = load
        self._ttl_s = ttl_ms / 1_000
        self._size_max = size_max
        self._clock = clock
        self._renew = renew
        self._known: OrderedDict[K, _Known[V]] = OrderedDict()
        self._loads: dict[K, asyncio.Task[V]] = {}
        self._renewal: asyncio.Task[None] | None = None
        self._renewed_at_s = -ttl_ms / 1_000

    def peek(self, key: K) -> V | None:
        """Give the value if it is here and may still be believed; None otherwise. Needs a running loop."""
        known = self._known.get(key)
        if known is None:
            return None
        age_s = self._clock() - known.loaded_at_s
        if age_s >= self._ttl_s:
            return None
        known.asked = True
        if self._renew is None:
            self._known.move_to_end(key)
        elif age_s >= self._ttl_s / 2 and self._renewal is None:
            self._begin_renewal()
        return known.value

    async def get(self, key: K) -> V:
        """Give the value, at most `ttl_ms` old, older only while the loader is Unavailable.

        Raises:
            Unavailable: the loader is away and nothing is remembered.
            SeatlockError: whatever else the loader refuses with.
        """
        value = self.peek(key)
        if value is not None:
            return value
        known = self._known.get(key)
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = asyncio.ensure_future(self._refresh(key))
            load.add_done_callback(lambda done: self._finish(key, done))
        if known is None:
            # One caller that goes away must not fail the others.
            return await asyncio.shield(load)
        await asyncio.wait({load}, timeout=LEDGER_PATIENCE_MS / 1_000)
        if not load.done() or isinstance(load.exception(), Unavailable):
            return known.value
        return load.result()

    def forget(self, key: K) -> None:
        """Load the key anew next time; a load that runs already does not count for later callers."""
        self._known.pop(key, None)
        self._loads.pop(key, None)

    async def _refresh(self, key: K) -> V:
        try:
            value = await self._load(key)
        except Unavailable:
            # Believe the old value for another while, or every caller would wait for a ledger that is away.
            if key in self._known:
                self._keep(key, self._known[key].value)
            raise
        if self._loads.get(key) is asyncio.current_task():
            self._keep(key, value)
        return value

    def _keep(self, key: K, value: V) -> None:
        self._known[key] = _Known(value, self._clock())
        self._known.move_to_end(key)
        if len(self._known) > self._size_max:
            self._known.popitem(last=False)

    def _finish(self, key: K, load: "asyncio.Task[V]") -> None:
        if self._loads.get(key) is load:
            del self._loads[key]
        # The callers may all have gone; their going is no reason for a "never retrieved" line in the log.
        if not load.cancelled():
            load.exception()

    # --- Many at once

    def _begin_renewal(self) -> None:
        now_s = self._clock()
        # With the ledger away this would else be tried at every look.
        if now_s - self._renewed_at_s < self._ttl_s / 8:
            return
        self._renewed_at_s = now_s
        # In no caller's context: its time is none of theirs.
        self._renewal = asyncio.get_running_loop().create_task(self._renew_aging(), context=Context())
        self._renewal.add_done_callback(self._renewal_ended)

    async def _renew_aging(self) -> None:
        """Load what is past half its time and was asked for since; what nobody asks for may go."""
        assert self._renew is not None
        old_s = self._clock() - self._ttl_s / 2
        aging = takewhile(lambda item: item[1].loaded_at_s <= old_s, self._known.items())  # in the order of loading
        chosen = {key: known for key, known in aging if known.asked}
        keys = list(chosen)
        for first in range(0, len(keys), RENEWED_AT_ONCE_MAX):
            some = keys[first : first + RENEWED_AT_ONCE_MAX]
            for key, value in (await self._renew(some)).items():
                # Not what was forgotten meanwhile, or loaded by somebody else: this may have been read before that.
                if self._known.get(key) is chosen[key]:
                    self._keep(key, value)

    def _renewal_ended(self, renewal: "asyncio.Task[None]") -> None:
        self._renewal = None
        error = None if renewal.cancelled() else renewal.exception()
        if error is not None and not isinstance(error, Unavailable):
            log.error("renewal_failed", exc_info=error)
