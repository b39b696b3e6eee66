"""What a run has measured: series of rounds, ratios of them, and how they are told as text and JSON."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence

import msgspec

BUSY_LOAD = 0.5


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: a ratio that should be at least or at most something.

    Attributes:
        name: e.g. `B4`, and what it is.
        ratios: one per round, or of medians where the rounds cannot be paired.
        limit: what it is held against; None for a figure that is only told.
        least: whether more is better.
        sides: what was divided by what, with their medians.
    """

    name: str
    what: str
    ratios: tuple[float, ...]
    limit: float | None
    least: bool
    sides: Mapping[str, float] = {}

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> float:
        """Half of what lies between the lowest and the highest round, as a part of the median."""
        return (max(self.ratios) - min(self.ratios)) / 2 / self.median if self.median else 0.0

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        if self.limit is None:
            return None
        return self.median >= self.limit if self.least else self.median <= self.limit


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """Lines to be drawn: (x, y) upwards in x, by name."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    log_x: bool = False


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run, as its JSON has it.

    Attributes:
        seconds: how long one turn lasted.
        small: without the largest sizes.
        load_before: how many processes the machine ran or wanted to run in the minute before, by its own count.
    """

    date: str
    commit: str
    machine: str
    rounds: int
    seconds: float
    small: bool
    load_before: float
    figures: tuple[Figure, ...]
    plots: tuple[Plot, ...] = ()
    not_measured: Sequence[str] = ()


def as_json(run: Run) -> str:
    """Give a run as JSON, with medians."""
    lines = [
        msgspec.to_builtins(figure) | {"median": figure.median, "spread": figure.spread, "kept": figure.kept}
        for figure in run.figures
    ]
    return json.dumps(msgspec.to_builtins(run) | {"figures": lines}, indent=2) + "\n"


def as_text(run: Run) -> str:
    """Give the table."""
    head = f"{run.date}  {run.commit}  {run.machine}  {extent_of(run)}"
    lines = [f"{'':4} {'ratio':>8} {'±':>5} {'aim':>8}  what"]
    lines += [
        f"{one.name:4} {one.median:8.2f} {one.spread:5.0%} {aim_of(one):>8}  {one.what}"
        + (f"  ({sides_of(one)})" if one.sides else "")
        for one in run.figures
    ]
    return "\n".join([head, *lines, *(f"not measured: {what}" for what in run.not_measured)])


def extent_of(run: Run) -> str:
    """Say how much was measured, and warn of a run that had not the machine to itself."""
    small = ", SMALL" if run.small else ""
    busy = f", BUSY before: load {run.load_before:.1f}" if run.load_before > BUSY_LOAD else ""
    return f"medians of {run.rounds} rounds of {run.seconds:g} s{small}{busy}"


def ratios_of(pairs: Iterable[Sequence[float]]) -> tuple[float, ...]:
    """Divide the first of each pair by the second; a round in which the second is 0 gives 0."""
    return tuple(left / right if right else 0.0 for left, right in pairs)


def medians_of(pairs: Sequence[Sequence[float]], left: str, right: str) -> dict[str, float]:
    """Give the medians of both sides of pairs, under their names."""
    return {left: statistics.median(one for one, _ in pairs), right: statistics.median(other for _, other in pairs)}


def aim_of(figure: Figure) -> str:
    """Say what a figure is held against; nothing if it is only told."""
    return "" if figure.limit is None else f"{'>=' if figure.least else '<='} {figure.limit:.3g}"


def sides_of(figure: Figure) -> str:
    """Say what was divided by what."""
    return ", ".join(f"{name} {value:,.4g}" for name, value in figure.sides.items())
