"""Without HTTP: designs in turn in one process each (B2, B3), and what calls cost Redis itself (B3, B4)."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from engine.bench import contests
from engine.bench.contests import BASELINES, ENGINE, Design
from engine.bench.costs import Meter
from engine.bench.design import Engine
from engine.bench.growth import Ground, Growths
from engine.bench.redis_figures import SEATS, SHOWTIMES, Load, RedisFigures
from engine.bench.session import Session
from engine.embedded.binaries import find_postgres, find_valkey
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.limits import SEATS_PER_LAYOUT_MAX

GROWTHS = (
    ("10 to 100,000 showtimes", (10, 300), (100_000, 300)),
    (f"100 to {SEATS_PER_LAYOUT_MAX:,} seats, the most there may be", (40, 100), (40, SEATS_PER_LAYOUT_MAX)),
)
SMALL_GROWTHS = (("10 to 1,000 showtimes", (10, 300), (1_000, 300)), ("100 to 10,000 seats", (40, 100), (40, 10_000)))
HOLDS, FEW_HOLDS = 1_000_000, 10_000
CALLS, FEW_CALLS = 20_000, 1_000
CROWDS = ("cold", "hot")


def play_contests(session: Session, names: Sequence[str]) -> None:
    """B2, B3: claims per second of the engine and of each baseline, with cold seats and with hot ones."""
    rivals = tuple(design for design in BASELINES if contests.AIMS[design.server][0] in names)
    folder = session.scratch / "contests"
    with own_valkey(folder) as redis, EmbeddedPostgres(folder / "postgres", find_postgres()) as postgres:
        urls = {"redis": redis.url, "postgres": postgres.url()}

        def turn(design: Design, crowd: str) -> Callable[[int], dict[str, float]]:
            return lambda number: contests.play(design, urls, crowd, session.extent.seconds, seed=number)

        for crowd in CROWDS:
            sides = [(design.name, turn(design, crowd)) for design in (ENGINE, *rivals)]
            session.figures += contests.compare(session.in_turn(f"{crowd} seats", sides), crowd, rivals)


def costs_in_redis(session: Session, names: Sequence[str], scripts: Path) -> None:
    """B3, B4: CPU of Redis per claim and how it grows, and memory, on servers that do nothing else."""
    rounds, small = session.extent.rounds, session.extent.small
    growths = SMALL_GROWTHS if small else GROWTHS
    steps = 3 + len(growths)
    with (
        _loop() as run,
        _ground(session.scratch / "little", run) as ground,
        _ground(session.scratch / "much", run) as much,
    ):
        redis, engine, load, url = ground

        def fill_hash(showtimes: int, seats: int) -> None:
            design = next(design for design in BASELINES if design.name == "seat_hash")
            contests.fill(design, url, showtimes, seats)

        load(SHOWTIMES, SEATS)
        measure = RedisFigures(redis, engine, load, scripts, fill_hash, seed=1)
        figures = measure.claim(rounds)
        session.tell("costs in Redis", 1, steps)
        if "B3" in names:
            figures.append(measure.memory())
        if "B4" in names:
            first, second = (Ground(side[0], Meter(side[0], side[1], seed=1), side[2]) for side in (ground, much))
            grown = Growths(first, second, rounds, FEW_CALLS if small else CALLS)
            for number, (what, little, big) in enumerate(growths):
                figures.append(grown.by_size(what, little, big))
                session.tell("costs in Redis", 2 + number, steps)
            figures.append(grown.by_holds(FEW_HOLDS if small else HOLDS))
        session.tell("costs in Redis", steps, steps)
    session.figures += [figure for figure in figures if figure.name in names]


@contextmanager
def _ground(folder: Path, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[tuple[Redis, Engine, Load, str]]:
    """Run a server with the engine's scripts; gives a client, the engine, what puts showtimes in, and its URL."""
    with own_valkey(folder) as server, Redis.from_url(server.url) as redis:
        redis.config_set("appendonly", "no")  # what is measured is the scripts
        engine = Engine()
        run(engine.open(server.url, 1))

        def load(showtimes: int, seats: int, sold_from: int | None = None) -> None:
            run(engine.prepare(showtimes, seats, sold_from))

        yield redis, engine, load, server.url
        run(engine.close())


def own_valkey(folder: Path) -> EmbeddedValkey:
    """Give a server of its own, to run for the length of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    return EmbeddedValkey(folder / "valkey", find_valkey())


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
