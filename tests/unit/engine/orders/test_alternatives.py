"""Other seats for taken ones: free, of the same kind, near, together where possible."""

from itertools import combinations
from types import SimpleNamespace

from engine.catalogue.floor_plans import draw_layout
from engine.catalogue.layouts import Layout
from engine.errors import Unavailable
from engine.orders.alternatives import Alternatives, FreeSeats
from engine.seats.records import SeatMap

HALL = draw_layout("One", ["A RRRR__RRRR", "B RRRR__RRRR", "C PPPP__PPPP", "D wcRR__VVVV"])


def nearby(wanted: str, taken: str, layout: Layout = HALL) -> list[str]:
    """Ask for seats while some are taken; every choice as one text."""
    gone = set(taken.split())
    free = [seat.index for seat in layout.seats if seat.seat not in gone]
    return [" ".join(choice) for choice in FreeSeats(layout, free).choose([layout.index_of[s] for s in wanted.split()])]


def test_one_seat_gets_the_nearest_of_its_tier():
    """Beside it, then behind it; never in a dearer row, never a wheelchair place."""
    assert nearby("B2", "B2") == ["B1", "B3", "A2"]


def test_seats_together_stay_together():
    """Side by side in one row, the nearest first, also if some of the wanted ones are still free."""
    assert nearby("B2 B3", "B2")[0] == "B3 B4"
    assert all(len({label[0] for label in choice.split()}) == 1 for choice in nearby("B1 B2 B3", "B2"))


def test_without_a_row_of_them_each_is_replaced_by_the_nearest():
    """What is still free is kept."""
    assert nearby("C1 C2", "C2 C4 C6 C8 C3") == ["C1 C5"]


def test_a_mix_of_kinds_keeps_its_kinds():
    """A wheelchair place is replaced by no other seat, a VIP seat by a VIP seat."""
    assert nearby("D1 D5", "D5") == ["D1 D6"]
    assert nearby("D1 D5", "D1") == []


def test_when_nothing_is_left_nothing_is_named():
    """An empty list, not somebody's held seat."""
    assert nearby("C1", "C1 C2 C3 C4 C5 C6 C7 C8") == []


def test_who_came_before_changes_nobodys_answer():
    """What is remembered of one wish serves others only where it is the same: of one kind, length and middle."""
    free = FreeSeats(HALL, range(2, len(HALL.seats)))
    seats = range(len(HALL.seats))
    wishes = [*([seat] for seat in seats), *combinations(seats, 2), *combinations(seats, 3)]

    assert [free.choose(wish) for wish in wishes] == [
        FreeSeats(HALL, range(2, len(HALL.seats))).choose(wish) for wish in wishes
    ]


async def test_a_stadium_costs_no_more_than_a_hall():
    """Only the neighbourhood is looked at: the far ends of 20,000 seats are never named."""
    rows = [f"{'ABCDEFGHIJ'[n % 10]}{'abcdefghij'[n // 10]} {'R' * 200}" for n in range(100)]
    maps = Maps(draw_layout("Stadium", rows), locked=range(200, 19_990))

    assert await Alternatives(maps, maps).find(1, [10_000]) == []


class Maps:
    """Plays seat engine and catalogue, and counts the looks."""

    def __init__(self, layout: Layout, locked=(0, 1), away: bool = False) -> None:
        self.layout_of_all = layout
        self.locked = locked
        self.away = away
        self.looks = 0

    async def showtime(self, number):
        return SimpleNamespace(layout_id=1)

    async def layout(self, layout_id):
        return self.layout_of_all

    async def read_seats(self, number):
        self.looks += 1
        if self.away:
            raise Unavailable("redis_unavailable")
        size = len(self.layout_of_all.seats)
        empty = bytearray(size // 8 + 1)
        locked = bytearray(empty)
        for seat in self.locked:
            locked[seat >> 3] |= 0x80 >> (seat & 7)
        return SeatMap(number, 1, "ON_SALE", size, bytes(empty), bytes(locked), bytes(empty), (), 0)


async def test_a_storm_of_refusals_looks_once():
    """The map is kept for half a second, so that losing is not dearer for Redis than winning."""
    maps = Maps(HALL)
    finder = Alternatives(maps, maps)

    found = [await finder.find(1, [0, 1]) for _ in range(50)]

    assert found[0][0] == ["B1", "B2"]
    assert found == [found[0]] * 50
    assert maps.looks == 1


async def test_without_a_map_the_refusal_stands_without_alternatives():
    """A hint that cannot be had must not turn a clear no into an error."""
    maps = Maps(HALL, away=True)
    assert await Alternatives(maps, maps).find(1, [0]) == []
