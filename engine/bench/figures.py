"""What a run has measured: series of rounds, ratios of them, and how they are told as text, JSON and a page."""

import html
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


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


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run, as its JSON has it."""

    date: str
    commit: str
    machine: str
    rounds: int
    figures: tuple[Figure, ...]
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
    head = f"{run.date}  {run.commit}  {run.machine}  medians of {run.rounds} rounds"
    lines = [f"{'':4} {'ratio':>8} {'±':>5} {'aim':>8}  what"]
    lines += [
        f"{one.name:4} {one.median:8.2f} {one.spread:5.0%} {_aim(one):>8}  {one.what}{_sides(one.sides)}"
        for one in run.figures
    ]
    return "\n".join([head, *lines, *(f"not measured: {what}" for what in run.not_measured)])


def as_page(run: Run) -> str:
    """Give a page that needs nothing else: the table, and each ratio's rounds as a plot."""
    rows = "".join(
        f"<tr class='{_CLASSES[figure.kept]}'><td>{html.escape(figure.name)}<td>{html.escape(figure.what)}"
        f"<td>{figure.median:.2f}<td>±{figure.spread:.0%}<td>{_aim(figure)}<td>{_plot(figure)}"
        f"<td>{html.escape(_sides(figure.sides).strip())}"
        for figure in run.figures
    )
    head = html.escape(f"{run.date}, {run.commit}, {run.machine}, medians of {run.rounds} rounds")
    missing = html.escape("; ".join(run.not_measured) or "nothing")
    return _PAGE.format(head=head, rows=rows, missing=missing)


_CLASSES: dict[Any, str] = {True: "kept", False: "missed", None: ""}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>seatlock bench</title>
<style>
  body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 75rem }}
  td, th {{ padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #ddd }}
  .kept td:nth-child(3) {{ color: #176b2c }} .missed td:nth-child(3) {{ color: #a3201d }}
</style>
<h1>seatlock bench</h1><p>{head}
<table><tr><th><th>what<th>ratio<th>spread<th>aim<th>rounds<th>sides{rows}</table>
<p>Not measured: {missing}</html>
"""
_WIDTH, _HEIGHT = 160, 28


def _aim(figure: Figure) -> str:
    return "" if figure.limit is None else f"{'>=' if figure.least else '<='} {figure.limit:g}"


def _sides(sides: Mapping[str, float]) -> str:
    return f"  ({', '.join(f'{name} {value:,.4g}' for name, value in sides.items())})" if sides else ""


def _plot(figure: Figure) -> str:
    """Draw the rounds as dots, and the limit as a line."""
    top = max(*figure.ratios, figure.limit or 0.0) * 1.1 or 1.0
    step = _WIDTH / (len(figure.ratios) + 1)
    dots = "".join(
        f"<circle cx='{step * (number + 1):.0f}' cy='{_HEIGHT * (1 - ratio / top):.1f}' r='3' fill='#1f5fbf'/>"
        for number, ratio in enumerate(figure.ratios)
    )
    line = ""
    if figure.limit is not None:
        at = _HEIGHT * (1 - figure.limit / top)
        line = f"<line x1='0' x2='{_WIDTH}' y1='{at:.1f}' y2='{at:.1f}' stroke='#999' stroke-dasharray='3'/>"
    return f"<svg width='{_WIDTH}' height='{_HEIGHT}' role='img' aria-label='rounds'>{line}{dots}</svg>"
