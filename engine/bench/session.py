"""One run of measurements: how often, how long, what was found, and what had to be refused."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from engine.bench.figures import Figure, Plot

T = TypeVar("T")


class Extent(NamedTuple):
    """How much is measured.

    Attributes:
        rounds: how often each pair is measured.
        seconds: how long one turn lasts.
        showtimes: how many there are to claim seats of.
        small: without the largest sizes, for a look.
    """

    rounds: int
    seconds: float
    showtimes: int
    small: bool


class Session:
    """Collects figures; given to every measure.

    Args:
        extent: how much.
        scratch: a folder that goes with the run.
        tell: shows progress: what, how many are done, how many there are.
    """

    def __init__(self, extent: Extent, scratch: Path, tell: Callable[[str, int, int], None]) -> None:
        self.extent, self.scratch, self.tell = extent, scratch, tell
        self.figures: list[Figure] = []
        self.plots: list[Plot] = []
        self.refused: list[str] = []

    def in_turn(self, what: str, sides: Sequence[tuple[str, Callable[[int], T]]]) -> list[dict[str, T]]:
        """Measure all sides in each round; each round begins with another one, so that none is always the first.

        Args:
            what: for the progress bar.
            sides: by name, what measures one turn; it is given the round's number.

        Returns:
            Per round, what each side gave.
        """
        found = []
        for number in range(self.extent.rounds):
            begin = number % len(sides)
            gave = {}
            for step, (name, measure) in enumerate((*sides[begin:], *sides[:begin])):
                gave[name] = measure(number)
                self.tell(what, number * len(sides) + step + 1, self.extent.rounds * len(sides))
            found.append(gave)
        return found

    def refuse_lagging(self, what: str, saw: Sequence[dict[str, Any]]) -> bool:
        """Say whether callers came too late by their own fault in most rounds; then the figure is none."""
        lagged = sum(one["lagged"] for one in saw)
        if 2 * lagged <= len(saw):
            return False
        worst = max(one["lag_p99_ms"] for one in saw)
        self.refused.append(f"{what}: the callers themselves came too late (p99 {worst:.0f} ms) in {lagged} rounds")
        return True
