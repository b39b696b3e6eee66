"""One design under one crowd, in this process and without HTTP: claims per second, told as a line of JSON.

    python -m loadtests.contest loadtests.baselines.set_nx:SetNx --url redis://127.0.0.1:6379 --crowd hot --seconds 5

`cold`: every claim of two seats finds them free, over all showtimes. `hot`: everybody wants two of the same 40 seats;
who gets them gives them back after a moment. `scattered`: each wants any two seats, free or not.
"""

import argparse
import asyncio
import gc
import importlib
import json
import random
import time
from collections.abc import Iterator
from typing import Any

SHOWTIMES, SEATS, HOT_SEATS = 2_000, 300, 40
HOT_SHOWTIME = 1
HELD_S = 0.02
GARBAGE_THRESHOLDS = (20_000, 20, 20)


class Crowd:
    """Callers in a loop, and what became of their claims."""

    def __init__(self, design: Any, options: argparse.Namespace) -> None:
        self._design = design
        self._options = options
        self._chance = random.Random(options.seed)
        self.claimed = self.refused = 0
        self.took_s: list[float] = []

    async def play(self, crowd: str, seconds: float) -> float:
        """Let everybody claim for so long; gives how long it was."""
        wishes = self._cold() if crowd == "cold" else None
        began = time.perf_counter()
        ends = began + seconds
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._options.callers):
                if wishes:
                    tasks.create_task(self._cold_caller(wishes, ends))
                else:
                    tasks.create_task(self._hot_caller(number, ends) if crowd == "hot" else self._scattered(ends))
        return time.perf_counter() - began

    def _cold(self) -> Iterator[tuple[int, tuple[int, int]]]:
        showtimes, seats = range(1, self._options.showtimes + 1), range(0, self._options.seats - 1, 2)
        wishes = [(showtime, seat) for showtime in showtimes for seat in seats]
        self._chance.shuffle(wishes)
        return ((showtime, (seat, seat + 1)) for showtime, seat in wishes)

    async def _cold_caller(self, wishes: Iterator[tuple[int, tuple[int, int]]], ends: float) -> None:
        for showtime, seats in wishes:
            if time.perf_counter() > ends:
                return
            await self._claim(showtime, seats, f"guest-{showtime}-{seats[0]}")

    async def _hot_caller(self, number: int, ends: float) -> None:
        who = f"guest-{number}"
        while time.perf_counter() < ends:
            seats = tuple(sorted(self._chance.sample(range(HOT_SEATS), 2)))
            if await self._claim(HOT_SHOWTIME, seats, who):
                await asyncio.sleep(HELD_S)
                await self._design.release(HOT_SHOWTIME, seats, who)

    async def _scattered(self, ends: float) -> None:
        while time.perf_counter() < ends:
            seats = tuple(self._chance.sample(range(self._options.seats), 2))
            showtime = self._chance.randrange(self._options.showtimes) + 1
            await self._claim(showtime, seats, f"guest-{self._chance.getrandbits(64)}")

    async def _claim(self, showtime: int, seats: tuple[int, ...], who: str) -> bool:
        began = time.perf_counter()
        won = bool(await self._design.claim(showtime, seats, who))
        self.took_s.append(time.perf_counter() - began)
        if won:
            self.claimed += 1
        else:
            self.refused += 1
        return won


async def contest(design: Any, options: argparse.Namespace) -> dict[str, float]:
    """Prepare, play, and give the figures: per second, ms, and this process' CPU per claim in us."""
    await design.open(options.url, options.connections)
    await design.prepare(options.showtimes, options.seats)
    if not options.seconds:
        return {}
    crowd = Crowd(design, options)
    # As a server does when it is ready; every design gets it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    cpu_s = time.process_time()
    seconds = await crowd.play(options.crowd, options.seconds)
    cpu_s = time.process_time() - cpu_s
    await design.close()
    took_ms = sorted(took_s * 1000 for took_s in crowd.took_s)
    return {
        "claimed_per_s": crowd.claimed / seconds,
        "refused_per_s": crowd.refused / seconds,
        "p50_ms": took_ms[len(took_ms) // 2],
        "p99_ms": took_ms[int(len(took_ms) * 0.99)],
        "cpu_us": cpu_s * 1e6 / len(took_ms),
    }


def main() -> None:
    """Run one contest."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.contest", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("design", help="module:Class, as loadtests.baselines describes it")
    parser.add_argument("--url", required=True)
    parser.add_argument("--crowd", choices=("cold", "hot", "scattered"), default="cold")
    parser.add_argument("--seconds", type=float, default=5, help="0: only put the showtimes there")
    parser.add_argument("--showtimes", type=int, default=SHOWTIMES)
    parser.add_argument("--seats", type=int, default=SEATS)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    module, _, name = options.design.partition(":")
    design = getattr(importlib.import_module(module), name)()
    try:
        import uvloop  # noqa: PLC0415 -- every design gets it where it is installed

        runner = uvloop.run
    except ImportError:
        runner = asyncio.run
    print(json.dumps(runner(contest(design, options))))


if __name__ == "__main__":
    main()
