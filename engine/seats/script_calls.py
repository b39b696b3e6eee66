"""Calling a script for a showtime: its keys, the common arguments, and restoring what Redis has lost."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from time import perf_counter_ns

import msgspec

from engine import limits, timings
from engine.errors import Unavailable
from engine.seats.answers import NEEDS_RESTORE, Answer
from engine.seats.connection import Argument
from engine.seats.keys import REQUEST_KEY, partition_of, script_keys
from engine.seats.lane import Lane
from engine.seats.lanes import Lanes
from engine.seats.partition_lane import PartitionLane
from engine.seats.records import Request
from engine.seats.redis_errors import RedisError
from engine.seats.scripts import Script
from engine.seats.slot_map import Redirected

NOT_REMEMBERED = Request()

Restore = Callable[[int, str, int], Awaitable[None]]
"""Brings a showtime's state in Redis in line with the ledger, given its number, the word why (`not_loaded`,
`stale_generation` or `damaged`), and when Redis said so in its milliseconds; 0 if that is not known."""


class Route(msgspec.Struct, frozen=True):
    """How a script reaches a showtime: the lane to its node, its keys, where among them the request's key stands."""

    lane: Lane | PartitionLane
    keys: tuple[bytes, ...]
    request_at: int


class ScriptCalls:
    """What every part of the seat engine is built on.

    Args:
        lane: to the Redis that has the showtimes, or to all nodes of a cluster.
        scripts: by name, of any server version: only their key names are used here.
        restore: see `Restore`. Its Refusal or Unavailable goes to the caller.
    """

    def __init__(self, lane: Lane | Lanes, scripts: Mapping[str, Script], restore: Restore) -> None:
        self.lane_for = lane.lane_for
        self._scripts = scripts
        self._restore = restore
        self._restoring: dict[int, asyncio.Task[None]] = {}
        self._route = lru_cache(limits.KEY_NAMES_CACHED_MAX)(self._find_route)

    def _find_route(self, name: str, showtime: int) -> Route:
        names = self._scripts[name].keys
        return Route(
            lane=self.lane_for(partition_of(showtime)),
            keys=tuple(key.encode() for key in script_keys(names, showtime)),
            request_at=names.index(REQUEST_KEY) if REQUEST_KEY in names else -1,
        )

    async def _write(
        self, name: str, showtime: int, args: Sequence[Argument], request: Request | None = None
    ) -> Answer:
        """Run a writing script, after a restore once more if Redis had lost the showtime.

        Raises:
            Unavailable, RedisError: as `Lane.call`; whatever `restore` raises.
        """
        answer = await self._write_once(name, showtime, args, request)
        if answer[0] in NEEDS_RESTORE:
            await self._restored(showtime, answer)
            answer = await self._write_once(name, showtime, args, request)
        return answer

    def _write_once(
        self,
        name: str,
        showtime: int,
        args: Sequence[Argument],
        request: Request | None = None,
        generation: int | None = None,
    ) -> Awaitable[Answer]:
        """Run a writing script with the common arguments: generation (ours if none is given), not_after_ms, request."""
        route: Route = self._route(name, showtime)
        lane, keys = route.lane, route.keys
        memory = ""
        if request is not None:
            assert " " not in request.fingerprint, "a space ends the fingerprint"
            assert bool(request.id) == bool(request.fingerprint), "an id is compared by its fingerprint"
            memory = f"{request.fingerprint} {request.trace}" if request.trace else request.fingerprint
            if request.id:
                at = route.request_at
                keys = (*keys[:at], keys[at] + request.id.encode(), *keys[at + 1 :])

        def arguments() -> Sequence[Argument]:
            stamp = lane.generation if generation is None else generation
            return (stamp, lane.now_ms() + limits.CALL_BUDGET_MS, memory, *args)

        return _called(route, name, keys, arguments, reads=False)

    async def _read(self, name: str, showtime: int, args: Sequence[Argument]) -> Answer:
        """Run a reading script, after a restore once more; its only common argument is the generation."""
        answer = await self._read_once(name, showtime, args)
        if answer[0] in NEEDS_RESTORE:
            await self._restored(showtime, answer)
            answer = await self._read_once(name, showtime, args)
        return answer

    def _read_once(self, name: str, showtime: int, args: Sequence[Argument]) -> Awaitable[Answer]:
        route: Route = self._route(name, showtime)
        return _called(route, name, route.keys, lambda: (route.lane.generation, *args), reads=True)

    async def _restored(self, showtime: int, answer: Answer) -> None:
        """Restore a showtime, once for all callers that need it now; none of them can cancel it for the others."""
        restoring = self._restoring.get(showtime)
        if restoring is not None and restoring is asyncio.current_task():
            raise Unavailable("showtime_frozen", "The showtime was lost again while it was restored.")
        if restoring is None:
            restoring = asyncio.ensure_future(self._restore(showtime, answer[0].decode(), answer[1]))
            self._restoring[showtime] = restoring
            restoring.add_done_callback(lambda done: self._restore_ended(showtime, done))
        await asyncio.shield(restoring)

    def _restore_ended(self, showtime: int, done: "asyncio.Future[None]") -> None:
        del self._restoring[showtime]
        if not done.cancelled():
            done.exception()  # Seen, also when every caller has left.


async def _called(
    route: Route,
    name: str,
    keys: Sequence[Argument],
    arguments: Callable[[], Sequence[Argument]],
    *,
    reads: bool,
) -> Answer:
    """Call a script where its showtime is, and there where it moved to meanwhile."""
    began_ns = perf_counter_ns()
    try:
        return await route.lane.call(name, keys, arguments())
    except RedisError as error:
        return _damaged(error)
    except Redirected as redirect:
        try:
            return await route.lane.follow(redirect, name, keys, arguments, reads=reads)
        except RedisError as error:
            return _damaged(error)
    finally:
        timings.add("redis", (perf_counter_ns() - began_ns) / 1e6)


def _damaged(error: RedisError) -> Answer:
    """A key of another type than ours is damage that a restore mends; any other error goes on."""
    if error.word == "WRONGTYPE":
        return [b"damaged", 0]
    raise error
