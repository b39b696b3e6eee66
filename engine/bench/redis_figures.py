"""What a claim costs Redis, and what a showtime weighs there: measured in turn with an empty script and a baseline."""

import statistics
from collections.abc import Callable
from pathlib import Path

from redis import Redis

from engine.bench.costs import Meter, claims_of_seat_hash
from engine.bench.design import Engine
from engine.bench.figures import Figure

CALLS = 20_000
SHOWTIMES, SEATS = 200, 300
CLAIM_MAX, GROWTH_MAX, HASH_SHARE_MAX, MEMORY_SHARE_MAX = 3.5, 1.15, 1 / 3, 1 / 20
Load = Callable[[int, int, int | None], None]
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
            self._load(SHOWTIMES, SEATS, None)
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

    def growth(self, what: str, small: tuple[int, int], big: tuple[int, int], rounds: int) -> Figure:
        """Compare a claim's CPU between two sizes, each (showtimes, seats), over as many claims."""
        costs = []
        for _ in range(rounds):
            pair = []
            for showtimes, seats in (small, big):
                self._load(showtimes, seats, None)
                calls = min(CALLS, small[0] * small[1] // 2)
                pair.append(self._meter.cpu_us(self._meter.claims(range(1, showtimes + 1), seats, calls)))
            costs.append(pair)
        return Figure(
            name="B4",
            what=f"growth of a claim's Redis CPU, {what}",
            ratios=tuple(after / before for before, after in costs),
            limit=GROWTH_MAX,
            least=False,
            sides={
                "small us": statistics.median(a for a, _ in costs),
                "big us": statistics.median(b for _, b in costs),
            },
        )

    def memory(self) -> Figure:
        """Compare what a showtime weighs; in the baseline a seat weighs the same whatever its state."""
        self._redis.flushall()
        ours = self._meter.memory_of(lambda: self._with_holds(ours=True)) / SHOWTIMES
        self._redis.flushall()
        theirs = self._meter.memory_of(lambda: self._with_holds(ours=False)) / SHOWTIMES
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
            self._load(SHOWTIMES, SEATS, SEATS // 2)
            for number in range(1, SHOWTIMES + 1):
                self._meter.cpu_us(self._meter.claims([number], 40, 20))
        else:
            self._fill_hash(SHOWTIMES, SEATS)
            self._meter.cpu_us(claims_of_seat_hash(SHOWTIMES, 40, self._hash_script, self._redis))
