"""A run as one page that needs nothing else: the table with each ratio's rounds as dots, and the plots."""

import html
import math
from collections.abc import Sequence
from typing import Any

from engine.bench.figures import Figure, Plot, Run, aim_of, extent_of, sides_of

_CLASSES: dict[Any, str] = {True: "kept", False: "missed", None: ""}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>seatlock bench</title>
<style>
  body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; max-width: 80rem }}
  td, th {{ padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top }}
  .kept td:nth-child(3) {{ color: #176b2c }} .missed td:nth-child(3) {{ color: #a3201d }}
  svg text {{ font: 11px system-ui, sans-serif; fill: #444 }}
</style>
<h1>seatlock bench</h1><p>{head}
<table><tr><th><th>what<th>ratio<th>spread<th>aim<th>rounds<th>medians of the sides{rows}</table>
{plots}
<p>Not measured: {missing}</html>
"""
_DOTS_WIDTH, _DOTS_HEIGHT = 160, 28
_WIDTH, _HEIGHT, _MARGIN = 720, 260, 44
_COLOURS = ("#1f5fbf", "#b3541e", "#2e7d32", "#7b3fa0", "#666666")


def as_page(run: Run) -> str:
    """Give the page."""
    rows = "".join(
        f"<tr class='{_CLASSES[figure.kept]}'><td>{html.escape(figure.name)}<td>{html.escape(figure.what)}"
        f"<td>{figure.median:.2f}<td>±{figure.spread:.0%}<td>{html.escape(aim_of(figure))}<td>{_dots(figure)}"
        f"<td>{html.escape(sides_of(figure))}"
        for figure in run.figures
    )
    head = html.escape(f"{run.date}, {run.commit}, {run.machine}, {extent_of(run)}")
    missing = html.escape("; ".join(run.not_measured) or "nothing")
    return _PAGE.format(head=head, rows=rows, plots="".join(map(_plot, run.plots)), missing=missing)


def _dots(figure: Figure) -> str:
    """Draw the rounds as dots, and the limit as a line."""
    top = max(*figure.ratios, figure.limit or 0.0) * 1.1 or 1.0
    step = _DOTS_WIDTH / (len(figure.ratios) + 1)
    dots = "".join(
        f"<circle cx='{step * (number + 1):.0f}' cy='{_DOTS_HEIGHT * (1 - ratio / top):.1f}' r='3' fill='#1f5fbf'/>"
        for number, ratio in enumerate(figure.ratios)
    )
    line = ""
    if figure.limit is not None:
        at = _DOTS_HEIGHT * (1 - figure.limit / top)
        line = f"<line x1='0' x2='{_DOTS_WIDTH}' y1='{at:.1f}' y2='{at:.1f}' stroke='#999' stroke-dasharray='3'/>"
    return f"<svg width='{_DOTS_WIDTH}' height='{_DOTS_HEIGHT}' role='img' aria-label='rounds'>{line}{dots}</svg>"


def _plot(plot: Plot) -> str:
    """Draw lines over two axes; nothing if there are no points."""
    points = [point for line in plot.lines.values() for point in line]
    if not points:
        return ""
    scale = _log if plot.log_x else float
    low, high = (scale(edge(x for x, _ in points)) for edge in (min, max))
    top = max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> str:
        across = (scale(x) - low) / ((high - low) or 1.0)
        up = y / top * (_HEIGHT - 2 * _MARGIN)
        return f"{_MARGIN + across * (_WIDTH - 2 * _MARGIN):.1f},{_HEIGHT - _MARGIN - up:.1f}"

    drawn = "".join(
        f"<polyline fill='none' stroke='{_COLOURS[number % len(_COLOURS)]}' stroke-width='1.5' "
        f"points='{' '.join(place(x, y) for x, y in line)}'/>"
        f"<text x='{_WIDTH - _MARGIN + 4}' y='{_MARGIN + 16 * number}' "
        f"style='fill:{_COLOURS[number % len(_COLOURS)]}'>{html.escape(name)}</text>"
        for number, (name, line) in enumerate(plot.lines.items())
    )
    bottom = _HEIGHT - _MARGIN
    ticks = "".join(
        f"<text x='{place(x, 0).split(',')[0]}' y='{bottom + 16}' text-anchor='middle'>{x:,.4g}</text>"
        for x in _ticks([x for x, _ in points], log=plot.log_x)
    ) + "".join(
        f"<text x='{_MARGIN - 6}' y='{place(points[0][0], y).split(',')[1]}' text-anchor='end'>{y:,.4g}</text>"
        for y in (0.0, top / 2, top)
    )
    return (
        f"<h2>{html.escape(plot.title)}</h2><svg width='{_WIDTH + 100}' height='{_HEIGHT}' role='img' "
        f"aria-label='{html.escape(plot.title, quote=True)}'>"
        f"<path d='M{_MARGIN},{_MARGIN} V{bottom} H{_WIDTH - _MARGIN}' fill='none' stroke='#999'/>{ticks}{drawn}"
        f"<text x='{_WIDTH // 2}' y='{_HEIGHT - 8}' text-anchor='middle'>{html.escape(plot.x)}</text>"
        f"<text x='{_MARGIN}' y='{_MARGIN - 12}'>{html.escape(plot.y)}</text></svg>"
    )


def _log(x: float) -> float:
    return math.log10(max(x, 1e-3))


def _ticks(values: Sequence[float], *, log: bool) -> list[float]:
    """Choose about five numbers for an axis; powers of ten on a logarithmic one."""
    low, high = min(values), max(values)
    if log:
        powers = [10.0**power for power in range(math.ceil(_log(low)), math.floor(_log(high)) + 1)]
        return powers or [low, high]
    return [low + (high - low) * part / 4 for part in range(5)]
