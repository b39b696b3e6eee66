"""Load and faults for as long as asked, on real servers; ends with audit, books, history and the gauges.

MINUTES=10 SEED=1 python -m tests.soak.soak                                 `make soak`, FAULT=name,name to choose

A round is a crowd of buyers and some faults of tests/faults/catalogue/, one after another; then the buyers leave, what
was begun ends, and everything is compared as after any fault. The processes live on through all rounds, but for those
that a fault kills, and their memory, descriptors and queues are measured all the time.
"""

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from engine.logs import configure_logs
from engine.progress import Progress
from engine.seats.keys import partition_key, partition_tags
from tests.faults.harness.checks import check
from tests.faults.harness.faults import OWN_WORLD, read_catalogue
from tests.faults.harness.world import open_world
from tests.soak.gauges import SHOWTIME_BYTES, Gauges, descriptors_of, rss_of, table

ROUND_S = 45
FAULTS_PER_ROUND_MAX = 3
SAMPLE_EVERY_S = 2
SHOWTIMES_MIN = 40
"""A round ends early when fewer are left to be sold."""
BETWEEN_FAULTS, BETWEEN_FAULTS_S = 5, 120
"""Bookings that must be confirmed between two faults, and how long that may take."""
NAMED = [name for name in os.environ.get("FAULT", "").split(",") if name]
SUMS = ("claims", "conflicts", "confirmed", "unknown", "calls", "undecided")
DUE = """
SELECT (SELECT count(*) FROM captures WHERE outcome IS NULL)
     + (SELECT count(*) FROM refunds WHERE due_at IS NOT NULL)
     + (SELECT count(*) FROM tickets WHERE restock_due IS NOT NULL)"""
ANNOUNCED = "SELECT count(*) FROM announcements WHERE spread_at IS NULL"
TRIMMED_AFTER_S = 3
"""Streams are trimmed now and then: what is at rest is trimmed by then."""


class Soak:
    """One soak of a world.

    Attributes:
        gauges: what was measured.
        played: fault -> how often.
        sums: claims and so on, of all rounds.
        over: ends the measuring. A cancellation could be lost in a timeout of its own.
    """

    def __init__(self, world, seed: int) -> None:
        self.world = world
        self.gauges = Gauges()
        self.played: Counter = Counter()
        self.sums: Counter = Counter()
        self.rounds = 0
        self.over = asyncio.Event()
        self._seed = seed
        self._chance = random.Random(seed)
        self._faults = [
            fault
            for fault in read_catalogue().values()
            if OWN_WORLD not in fault.needs and not fault.lacking() and (not NAMED or fault.name in NAMED)
        ]
        self._deck: list = []
        self._began = time.monotonic()

    @property
    def at_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    async def round(self, until_s: float) -> None:
        """Play one round.

        Raises:
            AssertionError: says what does not hold.
        """
        self.rounds += 1
        await self.world.begin(self._seed * 1_000 + self.rounds)
        began, names = self.at_s, []
        while len(names) < FAULTS_PER_ROUND_MAX and (not names or self.at_s < min(began + ROUND_S, until_s)):
            if names and len(self.world._fresh) < SHOWTIMES_MIN:
                break
            fault = self._draw()
            names.append(fault.name)
            print(f"{self.at_s:6.0f} s  {fault.name}", flush=True)
            await fault.play(self.world, random.Random(f"{fault.name}:{self._seed}:{self.rounds}"))
            self.played[fault.name] += 1
            await self.world.confirmed(BETWEEN_FAULTS, BETWEEN_FAULTS_S)
        print(f"{self.at_s:6.0f} s  the buyers leave, everything is compared", flush=True)
        figures = await check(self.world)
        self.sums.update({name: figures[name] for name in SUMS})
        await self._measure_at_rest()
        print(f"{self.at_s:6.0f} s  round {self.rounds} held: {figures}", flush=True)

    def _draw(self):
        """Give each fault once before any comes again."""
        if not self._deck:
            self._deck = self._chance.sample(self._faults, len(self._faults))
        return self._deck.pop()

    # --- Measuring

    async def measure_on_and_on(self) -> None:
        """Measure until the soak ends, whatever is broken meanwhile."""
        while not self.over.is_set():
            self._measure_processes()
            with contextlib.suppress(Exception):  # a Redis that is down, frozen or full is not measured
                async with asyncio.timeout(SAMPLE_EVERY_S):
                    await self._measure_redis("entries of all streams, under load")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), SAMPLE_EVERY_S)

    def _measure_processes(self) -> None:
        for part in self.world.parts:
            if not part.alive:
                continue
            for gauge, look in (("RSS of a process, MiB", rss_of), ("descriptors of a process", descriptors_of)):
                if (figure := look(part.pid)) is not None:
                    self.gauges.note(gauge, self.at_s, figure, part.name, part.pid)

    async def _measure_redis(self, streams: str) -> None:
        async with self.world.keys() as keys:
            lengths = [await keys.xlen(partition_key(number, "facts")) for number in range(len(partition_tags()))]
            used = (await keys.info("memory"))["used_memory"]
        loaded = len(self.world.showtimes) - len(self.world._fresh)
        self.gauges.note(streams, self.at_s, sum(lengths))
        beside = max(0, used - SHOWTIME_BYTES * loaded)
        self.gauges.note("Redis' memory beside its showtimes, MiB", self.at_s, beside)

    async def _measure_at_rest(self) -> None:
        await asyncio.sleep(TRIMMED_AFTER_S)
        await self._measure_redis("entries of all streams, at rest")
        async with self.world.ledger() as ledger:
            due, announced = await ledger.fetchval(DUE), await ledger.fetchval(ANNOUNCED)
        self.gauges.note("facts, captures, refunds, restocks due at rest", self.at_s, due)
        self.gauges.note("announcements waiting, at rest", self.at_s, announced)


async def soak(folder: Path, minutes: float, seed: int, report) -> bool:
    """Soak a world of its own; prints as it goes; says whether everything held."""
    async with open_world(folder) as world:
        work = Soak(world, seed)
        meter = asyncio.create_task(work.measure_on_and_on())
        failure = None
        try:
            while work.at_s < minutes * 60:
                report("seconds of soak", int(work.at_s), int(minutes * 60))
                await work.round(minutes * 60)
        except (AssertionError, TimeoutError) as error:
            failure = error
        finally:
            work.over.set()
            await meter
        return tell(work, failure)


def tell(work: Soak, failure: BaseException | None) -> bool:
    """Print the table and the verdict; says whether everything held."""
    rows = work.gauges.rows()
    passed = [f"{row.gauge} of {row.who}" if row.who else row.gauge for row in rows if not row.held]
    print(f"\n{table(rows)}\n")
    if failure is not None:
        print(f"round {work.rounds}: {type(failure).__name__}: {failure}\n")
    sums = ", ".join(f"{work.sums[name]:,} {name}" for name in SUMS)
    held = failure is None and not passed and work.rounds > 0
    what = "held" if held else f"FAILED ({'; '.join(passed) or 'see above'})"
    print(
        f"soak {what}: {work.at_s / 60:.1f} minutes, {work.rounds} rounds, {sum(work.played.values())} faults "
        f"({len(work.played)} different); {sums}"
    )
    return held


def main() -> None:
    """Soak for MINUTES, from SEED; status 1 if anything did not hold."""
    configure_logs("critical")
    minutes = float(os.environ.get("MINUTES") or 10)
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(16))
    print(f"MINUTES={minutes:g} SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak") as folder, Progress() as progress:
        held = asyncio.run(soak(Path(folder), minutes, seed, progress.report))
    sys.exit(not held)


if __name__ == "__main__":
    main()
