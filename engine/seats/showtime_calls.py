"""Whole showtimes: what operators do to them, and reading their maps."""

import asyncio
from collections.abc import Mapping, Sequence

from engine import limits, timings
from engine.seats.answers import refusal_of, seat_map_of, unchanged_map
from engine.seats.connection import Argument
from engine.seats.ids import subject_key
from engine.seats.keys import partition_of
from engine.seats.lane import Lane
from engine.seats.lanes import Lanes
from engine.seats.records import MetaStatus, Policy, Request, SeatMap
from engine.seats.script_calls import Restore, ScriptCalls
from engine.seats.scripts import Script
from engine.seats.seat_map import Change, SeatMapHistory


class _Look:
    """A map that is asked for, and who waits for it besides the first one."""

    __slots__ = ("_others", "leaves_with")

    def __init__(self, leaves_with: list[bytes] | None) -> None:
        self.leaves_with = leaves_with
        self._others: list[asyncio.Future[SeatMap | None]] = []

    def join(self) -> "asyncio.Future[SeatMap | None]":
        """Wait with the first one; None if that one failed or has gone: then everybody asks for himself."""
        other: asyncio.Future[SeatMap | None] = asyncio.get_running_loop().create_future()
        self._others.append(other)
        return other

    def end(self, seat_map: SeatMap | None) -> None:
        """Tell the others."""
        for other in self._others:
            if not other.done():
                other.set_result(seat_map)


class ShowtimeCalls(ScriptCalls):
    """What concerns all seats of a showtime. Raises Unavailable as `ScriptCalls` says."""

    def __init__(self, lane: Lane | Lanes, scripts: Mapping[str, Script], restore: Restore) -> None:
        super().__init__(lane, scripts, restore)
        self._history = SeatMapHistory()
        self._looks: dict[tuple[int, str | None, int | None], _Look] = {}

    async def read_seats(self, showtime: int, subject: str | None = None, known_version: int | None = None) -> SeatMap:
        """Read the map; `subject` sees which locked seats are its own. See `SeatMap.unchanged` for `known_version`.

        Who asks the same before the first one's call has left gets its answer: a thousand who look at one showtime
        cost Redis one call per turn of the loop. Once it has left nobody joins: it may have been answered already,
        and what somebody was told meanwhile, by another process too, would be missing from it.
        """
        asked = (showtime, subject, known_version)
        unwritten = self.lane_for(partition_of(showtime)).unwritten
        look = self._looks.get(asked)
        if look is not None and look.leaves_with is unwritten:
            with timings.spent("redis"):
                seat_map = await look.join()
            if seat_map is not None:
                return seat_map
        look = _Look(unwritten)
        if unwritten is not None:
            self._looks[asked] = look
        seat_map = None
        try:
            seat_map = await self._read_seats(*asked)
        finally:
            if self._looks.get(asked) is look:
                del self._looks[asked]
            look.end(seat_map)
        return seat_map

    async def _read_seats(self, showtime: int, subject: str | None, known_version: int | None) -> SeatMap:
        args: tuple[Argument, ...] = (
            b"" if subject is None else subject_key(subject),
            "" if known_version is None else known_version,
        )
        answer = await self._read("read_seats", showtime, args)
        if answer[0] == b"unchanged":
            return unchanged_map(answer, showtime)
        if answer[0] == b"seats":
            seat_map = seat_map_of(answer, showtime)
            self._history.remember(seat_map)
            return seat_map
        raise refusal_of(answer, showtime)

    async def peek_seats(self, showtime: int) -> SeatMap | None:
        """Read the map as `read_seats` does, but give None instead of a restore where Redis does not have it."""
        answer = await self._read_once("read_seats", showtime, (b"", ""))
        return seat_map_of(answer, showtime) if answer[0] == b"seats" else None

    async def read_changes(
        self, showtime: int, since: int, subject: str | None = None
    ) -> tuple[SeatMap, list[Change] | None]:
        """Read what changed since a version.

        Returns:
            The present map (`unchanged` if `since` is its version) and the changes; None instead of them if this
            process has no snapshot of that version: then the whole map is what to show.
        """
        seat_map = await self.read_seats(showtime, subject, since)
        if seat_map.unchanged:
            return seat_map, []
        return seat_map, self._history.changes_since(since, seat_map)

    async def close_showtime(self, showtime: int, request: Request | None = None) -> None:
        """Cancel a showtime for ever, loaded or not."""
        answer = await self._write("close_showtime", showtime, (), request)
        if answer[0] not in (b"closed", b"replayed"):
            raise refusal_of(answer, showtime)

    async def freeze_showtime(self, showtime: int, state: MetaStatus, request: Request | None = None) -> None:
        """Set a showtime to `frozen`, `rebuilding` or again `open`, loaded or not.

        Raises:
            Refusal: `showtime_closed`: it was cancelled.
        """
        answer = await self._write("freeze_showtime", showtime, (state, ""), request)
        if answer[0] not in (b"frozen", b"replayed"):
            raise refusal_of(answer, showtime)

    async def stop_writers(self, showtime: int, damaged_ms: int | None = None) -> bool:
        """Set a showtime to `rebuilding`.

        Args:
            showtime: its number, loaded or not.
            damaged_ms: when, by Redis' clock, a script met the damage that is to be mended.

        Returns:
            False: nothing was done, for somebody else has loaded it since `damaged_ms`.

        Raises:
            Refusal: `showtime_closed`: it was cancelled.
        """
        answer = await self._write("freeze_showtime", showtime, ("rebuilding", damaged_ms or ""))
        if answer[0] not in (b"frozen", b"loaded_since"):
            raise refusal_of(answer, showtime)
        return bool(answer[0] == b"frozen")

    async def change_policy(self, showtime: int, policy: Policy, request: Request | None = None) -> None:
        """Change the rules; deadlines already given stay."""
        answer = await self._write("change_policy", showtime, policy.numbers(), request)
        if answer[0] not in (b"policy_changed", b"replayed"):
            raise refusal_of(answer, showtime)

    async def block_seats(
        self, showtime: int, seats: Sequence[int], *, evict: bool = False, request: Request | None = None
    ) -> None:
        """Take seats out of sale, all or none; `evict` ends the holds that have some of them.

        Raises:
            Refusal: `seats_taken` (as in `claim_seats`): sold or blocked already, or held unless `evict`.
        """
        _require_bounded(seats)
        answer = await self._write("block_seats", showtime, ("block", int(evict), *seats), request)
        if answer[0] not in (b"blocked", b"replayed"):
            raise refusal_of(answer, showtime)

    async def unblock_seats(self, showtime: int, seats: Sequence[int], request: Request | None = None) -> None:
        """Give blocked seats back; those that are not blocked are left as they are."""
        _require_bounded(seats)
        answer = await self._write("block_seats", showtime, ("unblock", 0, *seats), request)
        if answer[0] not in (b"unblocked", b"replayed"):
            raise refusal_of(answer, showtime)


def _require_bounded(seats: Sequence[int]) -> None:
    assert 0 < len(seats) <= limits.SEATS_PER_BLOCK_MAX, "blocks are given in bounded parts"
