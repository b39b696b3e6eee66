"""B4: whether a claim costs Redis more when there is more of something: measured in turn on two servers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from redis import Redis

from engine.bench.costs import Command, Meter
from engine.bench.figures import Figure, medians_of, ratios_of
from engine.bench.snapshot import Snapshot, put_back, take

GROWTH_AIM = 1.15
SHOWTIMES, SEATS = 10_000, 300
HELD_SEATS = 200
"""Of each showtime, where many holds are wanted; what is claimed then are the other seats."""
EACH, FIRST_SEATS = 10, 2
"""Claims per showtime before it is put in anew, and the seats of the one that comes before them."""


class Ground(NamedTuple):
    """One server, and what puts so many showtimes of so many seats there, in place of all that was."""

    redis: Redis
    meter: Meter
    load: Callable[[int, int], None]


class _Claims:
    """Claims of two free seats on one server, whose showtimes are put in anew once they had as many as they may have.

    Args:
        ground: the server.
        showtimes, seats: how many are there, and how many seats each has.
        wanted: how many claims there will be in all.
    """

    def __init__(self, ground: Ground, showtimes: int, seats: int, wanted: int) -> None:
        self._ground, self._showtimes, self._seats = ground, showtimes, seats
        self._wanted, self._at_once = wanted, min(wanted, showtimes * EACH)
        self._begun: Snapshot = []
        self._left: list[Command] = []

    def cpu_us(self, calls: int) -> float:
        """Give the main thread's CPU per claim in us, over so many; errors as in `Meter.cpu_us`."""
        took_us, missing = 0.0, calls
        while missing:
            if not self._left:
                self._renew()
            some, self._left = self._left[:missing], self._left[missing:]
            took_us += self._ground.meter.cpu_us(some) * len(some)
            missing -= len(some)
        return took_us / calls

    def _renew(self) -> None:
        ground, everywhere = self._ground, range(1, self._showtimes + 1)
        if self._begun:
            put_back(ground.redis, self._begun)
        else:
            ground.load(self._showtimes, self._seats)
            firsts = (ground.meter.claims([showtime], FIRST_SEATS, 1) for showtime in everywhere)
            ground.meter.send(claim for first in firsts for claim in first)
            if self._at_once < self._wanted:
                self._begun = take(ground.redis)
        self._left = ground.meter.claims(everywhere, self._seats, self._at_once, first=FIRST_SEATS)


class Growths:
    """Measures on two servers, of which the second one has more.

    Args:
        little, much: the servers.
        rounds: how often both are asked, in turn.
        calls: how many claims each is asked for in a round.
    """

    def __init__(self, little: Ground, much: Ground, rounds: int, calls: int) -> None:
        self._little, self._much, self._rounds, self._calls = little, much, rounds, calls

    def by_size(self, what: str, small: tuple[int, int], big: tuple[int, int]) -> Figure:
        """Compare two sizes, each (showtimes, seats), over as many claims of two free seats.

        Nobody's claim is the first of its showtime, and no showtime gets more than a few: what grows is the size alone.
        """
        little, much = (
            _Claims(ground, *size, self._calls * self._rounds)
            for ground, size in ((self._little, small), (self._much, big))
        )
        pairs = []
        for _ in range(self._rounds):
            before = little.cpu_us(self._calls)
            pairs.append((much.cpu_us(self._calls), before))
        return _figure(what, pairs)

    def by_holds(self, holds: int) -> Figure:
        """Compare none with so many live holds, over claims of as many other seats in as many showtimes."""
        showtimes = min(SHOWTIMES, holds // 10)
        everywhere = range(1, showtimes + 1)
        for ground in (self._little, self._much):
            ground.load(showtimes, SEATS)
        each = holds // showtimes
        for showtime in everywhere:
            self._much.meter.send(self._much.meter.claims([showtime], min(HELD_SEATS, 2 * each), each))
        free = showtimes * (SEATS - HELD_SEATS) // 2
        calls = min(self._calls, free // self._rounds)
        todo = [
            ground.meter.claims(everywhere, SEATS, calls * self._rounds, first=HELD_SEATS)
            for ground in (self._little, self._much)
        ]
        pairs = []
        for number in range(self._rounds):
            turn = slice(number * calls, (number + 1) * calls)
            before = self._little.meter.cpu_us(todo[0][turn])
            pairs.append((self._much.meter.cpu_us(todo[1][turn]), before))
        return _figure(f"0 to {holds:,} live holds", pairs)


def _figure(what: str, pairs: Sequence[tuple[float, float]]) -> Figure:
    return Figure(
        name="B4",
        what=f"growth of a claim's Redis CPU, {what}",
        ratios=ratios_of(pairs),
        limit=GROWTH_AIM,
        least=False,
        sides=medians_of(pairs, "much us", "little us"),
    )
