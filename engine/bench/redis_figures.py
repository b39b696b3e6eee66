"""What a claim costs Redis, and what a showtime weighs there: measured in turn with an empty script and a baseline."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from redis import Redis

from engine.bench.costs import Meter, claims_of_seat_hash
from engine.bench.design import Engine
from engine.bench.figures import Figure

CALLS = 20_000
SHOWTIMES, SEATS = 200, 300
WEIGHED = 1000
"""So many showtimes that the buffers of who measures are no part of what one weighs."""
CLAIM_MAX, HASH_SHARE_MAX, MEMORY_SHARE_MAX = 3.5, 1 / 3, 1 / 20


class Load(Protocol):
    """Empties a server and puts in so many showtimes of so many seats, those from a number on sold."""

    def __call__(self, showtimes: int, seats: int, sold_from: int | None = None) -> None:
        """Do it."""


Fill = Callable[[int, int], None]


class RedisFigures:
    """Measures on a server of its own.

    Args:
        redis, engine: the server, as a client and as a design.
        load: empties it and puts in so many showtimes of so many seats, those from a number on sold.
        seat_hash: folder of the baseline's script, and what fills the server with its showtimes.
    """

    def __init__(self, redis: Redis, engine: Engine, load: Load, scripts: Path, fill_hash: Fill, seed: int) -> None:
        self._redis = redis
        self._meter = Meter(redis, engine, seed)
        self._load = load
        self._fill_hash = fill_hash
        self._hash_script = (scripts / "seat_hash.lua").read_text("utf-8")

    def claim(self, rounds: int) -> list[Figure]:
        """Compare a claim of two free seats with the empty script, and with the baseline's."""
        empty, ours, theirs = [], [], []
        for _ in range(rounds):
            self._load(SHOWTIMES, SEATS)
            claims = self._meter.claims(range(1, SHOWTIMES + 1), SEATS, CALLS)
            empty.append(self._meter.empty_us(CALLS))
            ours.append(self._meter.cpu_us(claims))
            self._fill_hash(SHOWTIMES, SEATS)
            theirs.append(self._meter.cpu_us(claims_of_seat_hash(SHOWTIMES, SEATS, self._hash_script, self._redis)))
        sides = {"claim us": statistics.median(ours)}
        return [
            Figure(
                name="B4",
                what="Redis CPU of a two-seat claim / empty script",
                ratios=tuple(a / b for a, b in zip(ours, empty, strict=True)),
                limit=CLAIM_MAX,
                least=False,
                sides=sides | {"empty us": statistics.median(empty)},
            ),
            Figure(
                name="B3",
                what="Redis CPU of a two-seat claim / that of seat_hash",
                ratios=tuple(a / b for a, b in zip(ours, theirs, strict=True)),
                limit=HASH_SHARE_MAX,
                least=False,
                sides=sides | {"seat_hash us": statistics.median(theirs)},
            ),
        ]

    def memory(self) -> Figure:
        """Compare what a showtime weighs; in the baseline a seat weighs the same whatever its state."""
        self._empty()
        ours = self._meter.memory_of(lambda: self._with_holds(ours=True)) / WEIGHED
        self._empty()
        theirs = self._meter.memory_of(lambda: self._with_holds(ours=False)) / WEIGHED
        return Figure(
            name="B3",
            what="Redis memory of a showtime of 300 seats, half sold, with 20 holds / that of seat_hash",
            ratios=(ours / theirs,),
            limit=MEMORY_SHARE_MAX,
            least=False,
            sides={"bytes": ours, "seat_hash bytes": theirs},
        )

    def _with_holds(self, *, ours: bool) -> None:
        if ours:
            self._load(WEIGHED, SEATS, SEATS // 2)
            for number in range(1, WEIGHED + 1):
                self._meter.send(self._meter.claims([number], 40, 20))
        else:
            self._fill_hash(WEIGHED, SEATS)
            self._meter.send(claims_of_seat_hash(WEIGHED, 40, self._hash_script, self._redis))

    def _empty(self) -> None:
        """Forget everything at once; what another thread frees later would be missing from what is measured next."""
        self._redis.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]
