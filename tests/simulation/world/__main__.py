"""`make simulate`: play seeds for a while and say how it went.

SEED=123            this one, with everything that happened in it; the last lines only with TAIL=n
SECONDS=60          as long as this (the default: 60)
SEEDS=1000          so many instead
FIRST=1             from this one on; a random one if unset
PROGRAMS=2          processes at once
"""

import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.world.story import play

SEEDS_PER_LOT = 10
FAILURES_SHOWN_MAX = 5
TRACE_SHOWN_MAX = 150


def show(seed, tail):
    """Play one seed and print its trace; whether all held."""
    outcome = play(seed, tracing=True)
    print("\n".join(outcome.trace[-tail:]))
    print(f"seed {seed}: {dict(outcome.totals)}, faults {dict(outcome.faults)}, ends as {outcome.digest}")
    for line in outcome.broken:
        print(f"BROKEN  {line}")
    return not outcome.broken


def lot(first):
    """Play a lot of seeds in this process: totals, faults, and what broke by seed."""
    totals, faults, broken = Counter(), Counter(), []
    began_s = time.process_time()
    for seed in range(first, first + SEEDS_PER_LOT):
        outcome = play(seed)
        totals.update(outcome.totals)
        faults.update(outcome.faults)
        if outcome.broken:
            broken.append((seed, outcome.broken[0]))
    totals["core_s"] = time.process_time() - began_s
    return totals, faults, broken


def firsts(first, seeds, until_s):
    """Give the first seeds of lots, until there are enough or the time is over."""
    at = first
    while (at - first < seeds) if seeds else time.monotonic() < until_s:
        yield at
        at += SEEDS_PER_LOT


def run(first, seeds, seconds, programs):
    """Play many seeds, print what came of it; whether all held."""
    totals, faults, broken, played = Counter(), Counter(), [], 0
    began_s = time.monotonic()
    lots = firsts(first, seeds, began_s + seconds)
    with ProcessPoolExecutor(programs) as pool:
        running = {pool.submit(lot, at) for at, _ in zip(lots, range(2 * programs), strict=False)}
        while running:
            done = next(iter(running)) if len(running) == 1 else _first_done(running)
            running.discard(done)
            some_totals, some_faults, some_broken = done.result()
            totals.update(some_totals)
            faults.update(some_faults)
            broken += some_broken
            played += SEEDS_PER_LOT
            following = next(lots, None)
            if following is not None and len(broken) < FAILURES_SHOWN_MAX:
                running.add(pool.submit(lot, following))
    took_s = time.monotonic() - began_s
    pace = f"{played / took_s * 60:.0f} a minute by {programs} processes, {played / totals['core_s'] * 60:.0f} a core"
    print(f"{played} seeds from {first} in {took_s:.0f} s: {pace}")
    words = ("virtual_s", "bookings", "captures", "tickets", "refunds", "confirmed", "cases")
    print("  ".join(f"{word} {totals[word]:.0f}" for word in words))
    print(f"{sum(faults.values())} faults: " + ", ".join(f"{kind} {count}" for kind, count in faults.most_common()))
    for seed, what in sorted(broken)[:FAILURES_SHOWN_MAX]:
        print(f"BROKEN  {what}\n        SEED={seed} make simulate")
    if broken:
        seed = min(broken)[0]
        print(f"What happened in seed {seed}, its end:")
        show(seed, TRACE_SHOWN_MAX)
    return not broken


def _first_done(running):
    while True:
        for future in running:
            if future.done():
                return future
        time.sleep(0.01)


def main():
    """Do what the environment says."""
    asked = os.environ.get
    if asked("SEED"):
        return 0 if show(int(asked("SEED")), int(asked("TAIL") or 1_000_000)) else 1
    first = int(asked("FIRST") or 0) or random.randrange(1, 10**9)
    seeds, seconds = int(asked("SEEDS") or 0), float(asked("SECONDS") or 60)
    return 0 if run(first, seeds, seconds, int(asked("PROGRAMS") or 2)) else 1


if __name__ == "__main__":
    sys.exit(main())
