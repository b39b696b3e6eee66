"""Other seats for a customer whose seats were taken: free, of the same kind, as near and as much together as can be.

A hint, not a promise: it is read from a map that may be half a second old, and others are given the same.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from heapq import nsmallest
from itertools import pairwise
from math import hypot
from typing import NamedTuple

from engine import limits
from engine.catalogue.cache import ShortMemory
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.layouts import Layout, Seat
from engine.errors import SeatlockError
from engine.seats.records import SeatMap
from engine.seats.seat_engine import SeatEngine
from engine.seats.seat_map import statuses

Kind = tuple[str, str, bool, bool]
ROW_WEIGHT = 1.5


class Alternatives:
    """Finds other seats. One look at a showtime serves all its refusals of that half second."""

    def __init__(self, seats: SeatEngine, catalogue: Catalogue) -> None:
        self._seats = seats
        self._catalogue = catalogue
        self._looks = ShortMemory[int, _Look](self._look, limits.ALTERNATIVES_MAP_TTL_MS, limits.ALTERNATIVES_MAPS_MAX)

    async def find(self, showtime: int, wanted: Sequence[int]) -> list[list[str]]:
        """Give up to three lists of as many seats as were wanted, best first; none when nothing can be said."""
        try:
            look = await self._looks.get(showtime)
        except SeatlockError:
            return []
        return look.near(tuple(wanted))

    async def _look(self, showtime: int) -> "_Look":
        layout = await self._catalogue.layout((await self._catalogue.showtime(showtime)).layout_id)
        return _Look(layout, await self._seats.read_seats(showtime))


class _Look:
    """The seats of a showtime at one moment. Where everybody wants the same ones, all are given the same others."""

    def __init__(self, layout: Layout, seat_map: SeatMap) -> None:
        self._layout = layout
        self._words = statuses(seat_map)
        self._found: dict[tuple[int, ...], list[list[str]]] = {}  # of half a second, as the following
        self._places: dict[tuple[int, int], FreeSeats] = {}

    def near(self, wanted: tuple[int, ...]) -> list[list[str]]:
        found = self._found.get(wanted)
        if found is None:
            found = self._found[wanted] = self._around(wanted).choose(wanted)
        return found

    def _around(self, wanted: Sequence[int]) -> "FreeSeats":
        """Bound the work in a stadium: layouts run along the rows, so what is near has a near index.

        In whole steps, so that those who want seats close to each other look among the same free ones.
        """
        reach = limits.ALTERNATIVES_REACH_SEATS
        place = (min(wanted) // reach, max(wanted) // reach)
        free = self._places.get(place)
        if free is None:
            around = range(max(0, (place[0] - 1) * reach), min(len(self._layout.seats), (place[1] + 2) * reach))
            indexes = [index for index in around if self._words[index] == "AVAILABLE"]
            free = self._places[place] = FreeSeats(self._layout, indexes)
        return free


class _Run(NamedTuple):
    """Free seats side by side, and the middle of them, in pixels."""

    x: float
    y: float
    seats: list[Seat]


class FreeSeats:
    """Free seats by kind, and the runs among them, found once for all who look here.

    Args:
        layout: of the showtime.
        free: indexes of free seats, in order.
    """

    def __init__(self, layout: Layout, free: Iterable[int]) -> None:
        self._layout = layout
        self._by_kind: dict[Kind, list[Seat]] = defaultdict(list)
        for index in free:
            self._by_kind[_kind(layout.seats[index])].append(layout.seats[index])
        self._runs: dict[tuple[Kind, int], list[_Run]] = {}
        self._near: dict[tuple[Kind, int, float, float], list[list[Seat]]] = {}

    def choose(self, wanted: Sequence[int]) -> list[list[str]]:
        """Choose others for the seats of these indexes; gives labels, best first.

        Seats of one kind are kept side by side where that is possible; if not, or for a mix of kinds, each wanted
        seat that is gone is replaced by the nearest one of its kind.
        """
        asked = [self._layout.seats[index] for index in wanted]
        kinds = {_kind(seat) for seat in asked}
        choices: list[list[Seat]] = []
        if len(kinds) == 1:
            choices = self._nearest(kinds.pop(), asked)
        if not choices:
            choices = _replaced(asked, self._by_kind)
        return [[seat.seat for seat in choice] for choice in choices]

    def _nearest(self, kind: Kind, asked: Sequence[Seat]) -> list[list[Seat]]:
        """Weigh, seat by seat, only the runs whose middle is nearest: to do it with all took a third of a refusal."""
        around = (kind, len(asked), *_middle(asked))
        near = self._near.get(around)
        if near is None:
            near = self._near[around] = self._around(*around)
        return sorted(near, key=lambda run: _distance(run, asked))[: limits.ALTERNATIVES_MAX]

    def _around(self, kind: Kind, length: int, x: float, y: float) -> list[list[Seat]]:
        """Give the runs whose middle is nearest to a place: seats stand in a grid, so many wishes have one middle."""
        runs = self._runs.get((kind, length))
        if runs is None:
            runs = self._runs[kind, length] = _runs(self._by_kind[kind], length)
        apart = [((run.x - x) ** 2 + (ROW_WEIGHT * (run.y - y)) ** 2, at) for at, run in enumerate(runs)]
        return [runs[at].seats for _, at in nsmallest(limits.ALTERNATIVES_WEIGHED_MAX, apart)]


def _kind(seat: Seat) -> Kind:
    return seat.tier, seat.zone, seat.accessible, seat.companion


def _runs(seats: Sequence[Seat], length: int) -> list[_Run]:
    """Give every run of that many seats that stand side by side in one row."""
    runs = []
    for start in range(len(seats) - length + 1):
        run = list(seats[start : start + length])
        if all(one.row == next_.row and next_.index == one.index + 1 for one, next_ in pairwise(run)):
            runs.append(_Run(*_middle(run), run))
    return runs


def _middle(seats: Sequence[Seat]) -> tuple[float, float]:
    return sum(seat.x for seat in seats) / len(seats), sum(seat.y for seat in seats) / len(seats)


def _replaced(asked: Sequence[Seat], by_kind: dict[Kind, list[Seat]]) -> list[list[Seat]]:
    """Keep what is still free and replace the rest; nothing if a seat has no replacement."""
    chosen: list[Seat] = [seat for seat in asked if seat in by_kind[_kind(seat)]]
    for seat in asked:
        if seat in chosen:
            continue
        left = [other for other in by_kind[_kind(seat)] if other not in chosen]
        if not left:
            return []
        chosen.append(min(left, key=lambda other: _apart(other, seat)))
    return [chosen]


def _distance(run: Sequence[Seat], asked: Sequence[Seat]) -> float:
    return sum(map(_apart, run, asked))


def _apart(one: Seat, other: Seat) -> float:
    """Give the distance in pixels; another row feels farther than another place in one's own."""
    return hypot(one.x - other.x, ROW_WEIGHT * (one.y - other.y))
