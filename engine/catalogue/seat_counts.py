"""How many seats a list of showtimes may promise: read in one go, remembered for seconds, never worth a failure."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from engine import limits
from engine.catalogue.records import Showtime
from engine.errors import Unavailable
from engine.seats.records import SeatMap
from engine.seats.seat_map import summary

log = structlog.get_logger()

Peek = Callable[[int], Awaitable[SeatMap | None]]


class SeatCounts:
    """Counts free seats.

    Args:
        count_gone: counts, by number, the seats of showtimes that are not loaded in Redis and yet not to be had.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        count_gone: Callable[[Sequence[int]], Awaitable[dict[int, int]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count_gone = count_gone
        self._clock = clock
        self._known: dict[int, tuple[float, int]] = {}

    async def count(self, showtimes: Sequence[Showtime], peek: Peek) -> dict[int, int | None]:
        """Give the free seats of each showtime by its number; None where that cannot be told in time."""
        fresh_since = self._clock() - limits.SEAT_COUNT_CACHE_TTL_MS / 1_000
        unknown = [s for s in showtimes if self._known.get(s.id, (fresh_since, 0))[0] <= fresh_since]
        if unknown:
            try:
                async with asyncio.timeout(limits.SEAT_COUNT_TIMEOUT_MS / 1_000):
                    await self._refresh(unknown, peek)
            except (Unavailable, TimeoutError) as error:
                log.info("seat_counts_unavailable", error=str(error))
        return {s.id: self._believed(s.id, fresh_since) for s in showtimes}

    def _believed(self, number: int, fresh_since: float) -> int | None:
        at, count = self._known.get(number, (fresh_since, 0))
        return count if at > fresh_since else None

    async def _refresh(self, showtimes: Sequence[Showtime], peek: Peek) -> None:
        """Ask Redis for all maps at once (the lane sends them together), then the ledger for those not there."""
        maps = await asyncio.gather(*(peek(showtime.id) for showtime in showtimes))
        absent = [s for s, seat_map in zip(showtimes, maps, strict=True) if seat_map is None]
        gone = await self._count_gone([s.id for s in absent]) if absent else {}
        now = self._clock()
        if len(self._known) + len(showtimes) > limits.SHOWTIMES_CACHED_MAX:
            self._known.clear()
        for showtime, seat_map in zip(showtimes, maps, strict=True):
            count = showtime.seat_count - gone[showtime.id] if seat_map is None else summary(seat_map)["available"]
            self._known[showtime.id] = (now, count)
