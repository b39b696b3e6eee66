"""B4: whether a claim costs Redis more when there is more of something: measured in turn on two servers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.bench.costs import Meter
from engine.bench.figures import Figure, medians_of, ratios_of

GROWTH_AIM = 1.15
CALLS = 20_000
SHOWTIMES, SEATS = 10_000, 300
HELD_SEATS = 200
"""Of each showtime, where many holds are wanted; what is claimed then are the other seats."""


class Ground(NamedTuple):
    """One server, and what puts so many showtimes of so many seats there, in place of all that was."""

    meter: Meter
    load: Callable[[int, int], None]


class Growths:
    """Measures on two servers, of which the second one has more.

    Args:
        little, much: the servers.
        rounds: how often both are asked, in turn.
    """

    def __init__(self, little: Ground, much: Ground, rounds: int) -> None:
        self._little, self._much, self._rounds = little, much, rounds

    def by_size(self, what: str, small: tuple[int, int], big: tuple[int, int]) -> Figure:
        """Compare two sizes, each (showtimes, seats), over as many claims of two free seats."""
        calls = min(CALLS, small[0] * small[1] // 2)
        self._much.load(*big)
        todo = self._much.meter.claims(range(1, big[0] + 1), big[1], calls * self._rounds)
        pairs = []
        for number in range(self._rounds):
            self._little.load(*small)
            before = self._little.meter.cpu_us(self._little.meter.claims(range(1, small[0] + 1), small[1], calls))
            pairs.append((self._much.meter.cpu_us(todo[number * calls : (number + 1) * calls]), before))
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
        calls = min(CALLS, free // self._rounds)
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
