"""Designs in turn, each in a process of its own, under the same crowd: `python -m loadtests.contest` does one."""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.bench.figures import Figure
from engine.errors import CommandError
from engine.paths import ROOT

TIMEOUT_S = 300
SHOWTIMES, SEATS = 2_000, 300


class Design(NamedTuple):
    """Whom a contest drives, and where it keeps its seats."""

    name: str
    where: str
    server: str


ENGINE = Design("engine", "engine.bench.design:Engine", "redis")
BASELINES = (
    Design("for_update", "loadtests.baselines.for_update:ForUpdate", "postgres"),
    Design("on_conflict", "loadtests.baselines.on_conflict:OnConflict", "postgres"),
    Design("set_nx", "loadtests.baselines.set_nx:SetNx", "redis"),
    Design("seat_hash", "loadtests.baselines.seat_hash:SeatHash", "redis"),
)
AIMS = {"postgres": ("B2", 12.0), "redis": ("B3", 2.0)}
"""Claims/s of the engine, divided by those of a design there."""


def play(
    design: Design,
    urls: Mapping[str, str],
    crowd: str,
    seconds: float,
    seed: int,
    showtimes: int = SHOWTIMES,
    seats: int = SEATS,
) -> dict[str, float]:
    """Run one contest; gives its figures.

    Raises:
        CommandError: it failed; carries its last words.
    """
    size = ("--showtimes", str(showtimes), "--seats", str(seats))
    return _run(design, urls[design.server], "--crowd", crowd, "--seconds", str(seconds), "--seed", str(seed), *size)


def fill(design: Design, url: str, showtimes: int, seats: int) -> None:
    """Put a design's showtimes on a server, and claim nothing.

    Raises:
        CommandError: it failed.
    """
    _run(design, url, "--seconds", "0", "--showtimes", str(showtimes), "--seats", str(seats))


def compare(
    rounds: Sequence[Mapping[str, Mapping[str, float]]], crowd: str, rivals: Sequence[Design] = BASELINES
) -> list[Figure]:
    """Give the engine's claims per second divided by each baseline's, round by round.

    Args:
        rounds: per round, per design, what its contest gave.
        crowd: what it was of.
        rivals: who were in it besides the engine.
    """
    figures = []
    for design in rivals:
        name, limit = AIMS[design.server]
        pairs = [(one["engine"]["claimed_per_s"], one[design.name]["claimed_per_s"]) for one in rounds]
        sides = {"engine": statistics.median(a for a, _ in pairs), design.name: statistics.median(b for _, b in pairs)}
        figures.append(
            Figure(
                name=name,
                what=f"claims/s in process, {crowd} seats, engine / {design.name}",
                ratios=tuple(a / b for a, b in pairs),
                limit=limit if crowd == "cold" else None,
                least=True,
                sides=sides,
            )
        )
    return figures


def _run(design: Design, url: str, *options: str) -> dict[str, float]:
    argv = [sys.executable, "-m", "loadtests.contest", design.where, "--url", url, *options]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode != 0:
        raise CommandError(f"the contest of {design.name} failed: {done.stderr.strip().splitlines()[-1:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
