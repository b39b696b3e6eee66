"""`seatlock bench`: starts servers of its own, measures in turn, tells the table and writes JSON and a page."""

import asyncio
import os
import platform
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis

from engine.bench import contests
from engine.bench.contests import BASELINES, ENGINE, Design
from engine.bench.design import Engine
from engine.bench.figures import Figure, Run, as_json, as_page, as_text
from engine.bench.redis_figures import SEATS, SHOWTIMES, RedisFigures
from engine.embedded.binaries import find_postgres, find_valkey
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.errors import CommandError
from engine.paths import ROOT
from engine.progress import Progress

SCRIPTS = ROOT / "loadtests" / "baselines"
NOT_MEASURED = ("B1", "B2 over HTTP", "B5", "B6", "B7", "B8", "B9", "B10")
GROWTHS = (("10 to 100,000 showtimes", (10, 300), (100_000, 300)), ("100 to 100,000 seats", (40, 100), (40, 100_000)))
SMALL_GROWTHS = (("10 to 1,000 showtimes", (10, 300), (1_000, 300)), ("100 to 10,000 seats", (40, 100), (40, 10_000)))


def bench(folder: Path, *, rounds: int, seconds: float, small: bool) -> str:
    """Measure, write `<date>.json` and `.html` into the folder; gives the table.

    Args:
        rounds: how often each pair is measured.
        seconds: how long one contest lasts.
        small: without the largest sizes, for a look.

    Raises:
        CommandError: there is no checkout with the baselines, or a contest failed.
    """
    if not SCRIPTS.is_dir():
        raise CommandError("bench needs a checkout: the baselines lie in loadtests/")
    with tempfile.TemporaryDirectory() as scratch, Progress() as progress:
        figures = [
            *_contests(Path(scratch), rounds, seconds, progress.report),
            *_redis(Path(scratch), rounds, SMALL_GROWTHS if small else GROWTHS, progress.report),
        ]
    now = datetime.now(UTC)
    run = Run(
        date=f"{now:%Y-%m-%d %H:%M} UTC",
        commit=_commit(),
        machine=f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        rounds=rounds,
        figures=tuple(figures),
        not_measured=NOT_MEASURED,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("json", as_json(run)), ("html", as_page(run))):
        (folder / f"{now:%Y-%m-%d-%H%M}.{suffix}").write_text(text, encoding="utf-8")
    return as_text(run)


def _contests(scratch: Path, rounds: int, seconds: float, tell: Callable[[str, int, int], None]) -> list[Figure]:
    figures: list[Figure] = []
    turns = [(crowd, number) for crowd in ("cold", "hot") for number in range(rounds)]
    designs: tuple[Design, ...] = (ENGINE, *BASELINES)
    played: dict[str, list[dict[str, dict[str, float]]]] = {"cold": [], "hot": []}
    with _valkey(scratch / "contests") as redis, _postgres(scratch) as postgres:
        urls = {"redis": redis.url, "postgres": postgres.url()}
        for turn, (crowd, number) in enumerate(turns):
            # Each round begins with another design, so that none is always the first after a pause.
            order = designs[number % len(designs) :] + designs[: number % len(designs)]
            gave = {}
            for step, design in enumerate(order):
                gave[design.name] = contests.play(design, urls, crowd, seconds, seed=number)
                tell("contests", turn * len(designs) + step + 1, len(turns) * len(designs))
            played[crowd].append(gave)
    for crowd, of in played.items():
        figures += contests.compare(of, crowd)
    return figures


def _redis(scratch: Path, rounds: int, growths: Any, tell: Callable[[str, int, int], None]) -> list[Figure]:
    steps = 2 + len(growths)
    with _valkey(scratch / "costs") as server, Redis.from_url(server.url) as redis, _loop() as run:
        redis.config_set("appendonly", "no")  # what is measured is the scripts
        engine = Engine()
        run(engine.open(server.url, 1))

        def load(showtimes: int, seats: int, sold_from: int | None) -> None:
            run(engine.prepare(showtimes, seats, sold_from))

        def fill_hash(showtimes: int, seats: int) -> None:
            design = next(design for design in BASELINES if design.name == "seat_hash")
            contests.fill(design, server.url, showtimes, seats)

        load(SHOWTIMES, SEATS, None)
        measure = RedisFigures(redis, engine, load, SCRIPTS, fill_hash, seed=1)
        figures = measure.claim(rounds)
        tell("costs in Redis", 1, steps)
        for number, (what, little, much) in enumerate(growths):
            figures.append(measure.growth(what, little, much, rounds))
            tell("costs in Redis", 2 + number, steps)
        figures.append(measure.memory())
        tell("costs in Redis", steps, steps)
        run(engine.close())
    return figures


@contextmanager
def _valkey(folder: Path) -> Iterator[EmbeddedValkey]:
    program = find_valkey()
    if program is None:
        raise CommandError("there is no Valkey here")
    folder.mkdir(parents=True, exist_ok=True)
    server = EmbeddedValkey(folder / "valkey", program)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    program = find_postgres()
    if program is None:
        raise CommandError("there is no PostgreSQL here")
    server = EmbeddedPostgres(folder / "postgres", program)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _loop() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Run an event loop in a thread: the lane lives on while this thread measures."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _commit() -> str:
    argv = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no checkout"
