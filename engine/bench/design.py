"""The seat engine as one of the designs that `loadtests.contest` drives: through the lane, without HTTP and ledger."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import redis.asyncio

from engine.errors import Refusal, Unavailable
from engine.limits import DAY_MS, MINUTE_MS, SHOWTIME_NUMBER_MAX
from engine.seats.ids import HoldId, parse_hold_id
from engine.seats.lane import Lane
from engine.seats.records import Policy, ShowtimeLoad
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine

ANY_VERSION = (7,)
LOADS_AT_ONCE = 50


class Engine:
    """Holds in Redis by the real scripts, on showtimes that are put there without a ledger."""

    async def open(self, url: str, connections: int) -> None:  # noqa: ARG002 -- one connection is the design
        """Connect the lane."""
        self._url = url
        self._lane = Lane(url, load_scripts, part="bench", identify=_identify)
        self.seats = SeatEngine(self._lane, load_scripts(ANY_VERSION), _never)
        self._holds: dict[tuple[int, str], HoldId] = {}
        await self._lane.start()

    async def prepare(self, showtimes: int, seats: int, sold_from: int | None = None) -> None:
        """Empty Redis and put the showtimes in."""
        async with redis.asyncio.Redis.from_url(self._url) as client:
            await client.flushall()
        for first in range(1, showtimes + 1, LOADS_AT_ONCE):
            last = min(first + LOADS_AT_ONCE, showtimes + 1)
            await asyncio.gather(*(self._surely_put_in(number, seats, sold_from) for number in range(first, last)))

    async def _surely_put_in(self, showtime: int, seats: int, sold_from: int | None) -> None:
        """Put it in, again while Redis is too busy for the call to run in time: with freeing what was there before."""
        while True:
            with suppress(Unavailable):
                return await self.put_in(showtime, seats, sold_from)

    async def put_in(self, showtime: int, seats: int, sold_from: int | None = None) -> None:
        """Load one showtime with so many seats; those from `sold_from` on are sold."""
        assert showtime <= SHOWTIME_NUMBER_MAX
        await self.seats.begin_load(showtime, "bench", force=True)
        sold = dict.fromkeys(range(seats if sold_from is None else sold_from, seats), 1)
        load = ShowtimeLoad(
            status="open", seats=seats, seq=0, loads=1, sold=sold, blocked=frozenset(), policy=bench_policy()
        )
        await self.seats.finish_load(showtime, "bench", load)

    async def claim(self, showtime: int, seats: Sequence[int], who: str) -> bool:
        """Claim all, or none."""
        try:
            hold = await self.seats.claim_seats(showtime, who, seats)
        except Refusal:
            return False
        self._holds[showtime, who] = parse_hold_id(hold.id)
        return True

    async def release(self, showtime: int, seats: Sequence[int], who: str) -> None:  # noqa: ARG002 -- a hold has them
        """End the person's hold."""
        await self.seats.release_hold(self._holds.pop((showtime, who)), who)

    @property
    def generation(self) -> int:
        """What the showtimes are stamped with."""
        return self._lane.generation

    async def close(self) -> None:
        """Disconnect."""
        await self._lane.close()


def bench_policy() -> Policy:
    """Give the usual rules of a showtime that starts tomorrow."""
    now_ms = time.time_ns() // 1_000_000
    return Policy(
        hold_ttl_ms=10 * MINUTE_MS,
        payment_ttl_ms=15 * MINUTE_MS,
        hold_max_ms=30 * MINUTE_MS,
        claim_max_ms=45 * MINUTE_MS,
        seats_per_hold_max=10,
        holds_per_customer_max=2,
        seats_per_customer_max=20,
        sales_open_ms=now_ms - MINUTE_MS,
        sales_stop_ms=now_ms + DAY_MS,
        ends_ms=now_ms + DAY_MS,
        keys_until_ms=now_ms + 2 * DAY_MS,
    )


async def _identify(run_id: str, replication_id: str) -> int:  # noqa: ARG001 -- a bench has one Redis
    return 1


async def _never(showtime: int, why: str, _said_ms: int) -> None:
    raise AssertionError(f"showtime {showtime} is {why}")
