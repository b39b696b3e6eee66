"""What a soak measures, again and again, and whether it stays within its bounds.

A process that is started anew begins a new life; growth is judged within a life, levels over all of them. Growth is the
median of a life's last quarter less that of its second one: the first quarter is for filling caches.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

MIB = 2**20
LIFE_MIN_S = 60
"""A shorter life says nothing of growth."""


@dataclass(frozen=True)
class Bound:
    """How far a gauge may go: at all, and by growing within a life; `unit` is what its figures are divided by."""

    at_most: float
    growth: float
    unit: int = 1


BOUNDS = {
    "RSS of a process, MiB": Bound(400 * MIB, 40 * MIB, MIB),
    "descriptors of a process": Bound(300, 40),
    "Redis' memory beside its showtimes, MiB": Bound(100 * MIB, 16 * MIB, MIB),
    "entries of all streams, at rest": Bound(640, 320),
    "entries of all streams, under load": Bound(50_000, 25_000),
    "facts, captures, refunds, restocks due at rest": Bound(0, 0),
    "announcements waiting, at rest": Bound(500, 250),
}
SHOWTIME_BYTES = 64 * 1024
"""What Redis may need for a showtime of forty seats with its bookings, until 24 h after its end."""


@dataclass
class Gauges:
    """All figures: gauge -> who -> life -> [(seconds, figure)]."""

    figures: dict = field(default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list))))

    def note(self, gauge: str, at_s: float, figure: float, who: str = "", life: int = 0) -> None:
        """Take a figure down; `life` is a process id where the gauge is of processes."""
        assert gauge in BOUNDS, gauge
        self.figures[gauge][who][life].append((at_s, figure))

    def rows(self) -> list["Row"]:
        """Give one row per gauge and who, in the order of the bounds."""
        return [
            Row(gauge, who, list(lives.values()), bound)
            for gauge, bound in BOUNDS.items()
            for who, lives in sorted(self.figures[gauge].items())
        ]


@dataclass(frozen=True)
class Row:
    """One line of the table: a gauge of somebody."""

    gauge: str
    who: str
    lives: list[list[tuple[float, float]]]
    bound: Bound

    @property
    def most(self) -> float:
        """The highest figure."""
        return max(figure for life in self.lives for _, figure in life)

    @property
    def last(self) -> float:
        """The newest figure."""
        return max(life[-1] for life in self.lives)[1]

    @property
    def growth(self) -> float:
        """The most that it has grown in one life; 0 if none was long enough."""
        return max((growth_of(life) for life in self.lives), default=0.0)

    @property
    def held(self) -> bool:
        """Whether it stayed within its bounds."""
        return self.most <= self.bound.at_most and self.growth <= self.bound.growth

    def cells(self) -> list[str]:
        """Give the line's texts."""
        numbers = (self.most, self.last, self.growth, self.bound.at_most, self.bound.growth)
        texts = [f"{number / self.bound.unit:,.0f}" for number in numbers]
        return [self.gauge, self.who, str(len(self.lives)), *texts, "held" if self.held else "PASSED"]


HEADINGS = ["gauge", "of", "lives", "most", "last", "grew", "may be", "may grow", ""]


def growth_of(life: list[tuple[float, float]]) -> float:
    """Give by how much a figure grew from the second to the last quarter of a life."""
    begin, end = life[0][0], life[-1][0]
    if end - begin < LIFE_MIN_S:
        return 0.0
    quarter = (end - begin) / 4
    early = [figure for at_s, figure in life if begin + quarter <= at_s < begin + 2 * quarter]
    late = [figure for at_s, figure in life if at_s >= end - quarter]
    return median(late) - median(early) if early and late else 0.0


def table(rows: Iterable[Row]) -> str:
    """Give the rows as a Markdown table."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rss_of(pid: int) -> int | None:
    """Give the resident memory of a process in bytes; None if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") or None


def descriptors_of(pid: int) -> int | None:
    """Give how many descriptors a process has open; None if it is gone."""
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
