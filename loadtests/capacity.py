"""Writes `CAPACITY.md`: what a national chain and a big on-sale need, worked out from what `make bench` has measured.

    python -m loadtests.capacity loadtests/results/2026-11-21-1900.json

What is assumed of people stands here, what is measured comes from the results; the page shows every step.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "CAPACITY.md"
API_BUSY, REDIS_BUSY, POSTGRES_BUSY, WORKER_BUSY = 0.6, 0.5, 0.5, 0.6
"""How much of a core may be in use at the peak: what is above it is for a node that fails, and for bad moments."""
MEMORY_FACTOR = 2.5
"""Redis' own overhead and fragmentation, and the copy while its append-only file is rewritten."""
NODE_MEMORY_GB = 16
SEATS, SEATS_EACH = 300, 2

SCREENS, SHOWS, DAYS = 2_000, 5, 7
SOLD, BUSY_HOUR, BURST = 0.4, 0.2, 3
PEOPLE, FIRST_MINUTE, ON_SALE_SHOWTIMES, SOLD_IN_MINUTES = 1_000_000, 0.5, 2_000, 10

ASSUMED = {
    "api_busy": API_BUSY,
    "redis_busy": REDIS_BUSY,
    "postgres_busy": POSTGRES_BUSY,
    "worker_busy": WORKER_BUSY,
    "seats": SEATS,
    "each": SEATS_EACH,
    "screens": SCREENS,
    "shows": SHOWS,
    "days": DAYS,
    "sold": SOLD,
    "busy_hour": BUSY_HOUR,
    "burst": BURST,
    "millions": PEOPLE,
    "first_minute": FIRST_MINUTE,
    "premieres": ON_SALE_SHOWTIMES,
    "minutes": SOLD_IN_MINUTES,
}
MEASURED = {
    "claim": ("B1", "", "claim us", "API, us of CPU per claim that gets its seats"),
    "claim_redis": ("B1", "", "Redis us", "Redis, us of CPU per claim, with its connection and the limit on requests"),
    "full": ("B7", "(full)", "full/s", "full seat maps per second of an API core"),
    "full_redis": ("B7", "(full)", "Redis us", "Redis, us per full seat map"),
    "look": ("B7", "(compact)", "compact/s", "compact maps per second of an API core"),
    "look_redis": (
        "B7",
        "(compact)",
        "Redis us",
        "Redis, us per compact map, where all look at one showtime and share calls",
    ),
    "buy": ("B10", "", "API us", "API, us per purchase: claim, check-out, payment, webhook"),
    "buy_redis": ("B10", "", "Redis us", "Redis, us per purchase"),
    "buy_postgres": ("B10", "", "PostgreSQL us", "PostgreSQL, us per purchase"),
    "buy_worker": ("B10", "", "worker us", "worker, us per purchase, with its notifications"),
    "showtime": ("B3", "memory", "bytes", "Redis, bytes per showtime of 300 seats, half sold, 20 holds"),
    "knee": ("B8", "open-loop", "knee/s", "claims/s of one API process at which p99 passes 50 ms, all on one machine"),
    "worker": ("B6", "rows/s", "worker sales/s", "sales/s that one worker brings into the ledger out of a backlog"),
}
"""Our name for a figure: the measure, a part of what it says it is, the side of the ratio, and what it means."""


_HEAD = """# How much of what a big chain needs

Worked out by `python -m loadtests.capacity` from `{source}` ({date}, {commit}; {machine}).
Cores are cores of that machine: measure on yours, and write the page anew. Medians of {rounds} rounds of {seconds:g} s;
load before the run: {load}. With more than 0.5 the machine did something else as well, and what is worked out here is
far too high.

## What was measured

| name | value | what | measure |
|---|---|---|---|
{rows}

CPU per answer of the API is 1,000,000 us divided by what a core answers. At the peak an API process may use
{api_busy:.0%} of its core, Redis {redis_busy:.0%} of its one, PostgreSQL {postgres_busy:.0%} of its cores, a worker
{worker_busy:.0%}: what is above is for a node that fails and for bad moments.
"""
_CHAIN = """## A national chain: {screens:,} screens, {shows} shows a day, {days} days open for sale

Assumed: {seats} seats a show, {sold:.0%} of them sold here, {each} a booking, {busy_hour:.0%} of a day's bookings
in its busiest hour and {burst} times that rate in its busiest minute; for each booking 3 full seat maps, 10 looks at
the compact one, and half a claim more than the one that it is made of.

- showtimes in Redis: {screens:,} x {shows} x {days} = **{showtimes:,}**
- tickets a day: {screens:,} x {shows} x {seats} x {sold:g} = {tickets:,.0f}; bookings: / {each} = {bookings:,.0f}
- bookings per second at the peak: {bookings:,.0f} x {busy_hour:g} / 3,600 x {burst} = **{peak:,.0f}**
"""
_ON_SALE = """## {millions:,} people want one film

Assumed: {first_minute:.0%} of them come in the first minute; each sees one full seat map, looks six times at the
compact one and claims twice; {premieres:,} showtimes of {seats} seats sell out in {minutes} minutes.

- people per second: {millions:,} x {first_minute:g} / 60 = **{people:,.0f}**; claims: x 2 = **{claims:,.0f}**
- bookings: {premieres:,} x {seats} / {each} = {bookings:,.0f}; / {seconds} s = **{sales:,.0f}** per second
"""
_NEEDS = """{api}
{redis}
- Redis by memory: {showtimes:,} x {showtime} bytes x {factor:g} = {memory_gb:,.2f} GB, so {by_memory} of {node_gb} GB;
  **Redis nodes: {nodes}**, each with a replica
{postgres}
{by_cpu}; by rate {sales:,.0f} / {worker} (worker) = {by_rate};
  **workers: {workers}**, two at least, so that one may die
"""
_BY_KNEE = """- claims by another way: {claims:,.0f} / {knee} (knee) = **{processes:,}** API processes for them alone;
  Redis and the callers were on the same cores when the knee was measured, so this is the safer number
"""


def together(files: Sequence[Path]) -> dict[str, Any]:
    """Read results files as one run, the first, with figures that it lacks from those after it.

    The page is no better than the busiest of them, and says so.
    """
    runs = [json.loads(file.read_text("utf-8")) for file in files]
    busiest = max(run["load_before"] for run in runs)
    return {**runs[0], "load_before": busiest, "figures": [figure for run in runs for figure in run["figures"]]}


def read(results: Mapping[str, Any]) -> dict[str, float]:
    """Take the figures that the page needs out of a results file.

    Raises:
        SystemExit: one of them was not measured.
    """
    found: dict[str, float] = {}
    for name, (measure, part, side, _) in MEASURED.items():
        sides = [one["sides"] for one in results["figures"] if one["name"] == measure and part in one["what"]]
        value = next((each[side] for each in sides if each.get(side)), None)
        if value is None:
            raise SystemExit(f"the results lack {side} of {measure}: run `make bench` whole")
        found[name] = value
    return found


def page(results: Mapping[str, Any], source: str) -> str:
    """Write the page."""
    measured = read(results)
    rows = "\n".join(
        f"| `{name}` | {_short(measured[name])} | {meaning} | {measure} |"
        for name, (measure, _, _, meaning) in MEASURED.items()
    )
    made = {name: results[name] for name in ("date", "commit", "machine", "rounds", "seconds")}
    made["load"] = f"{results['load_before']:.1f}"
    return "\n".join([_HEAD.format(source=source, rows=rows, **made, **ASSUMED), _chain(measured), _on_sale(measured)])


def _chain(measured: Mapping[str, float]) -> str:
    showtimes = SCREENS * SHOWS * DAYS
    tickets = SCREENS * SHOWS * SEATS * SOLD
    bookings = tickets / SEATS_EACH
    peak = bookings * BUSY_HOUR / 3600 * BURST
    demand = {"claim": 0.5 * peak, "full": 3 * peak, "look": 10 * peak, "buy": peak}
    text = _CHAIN.format(showtimes=showtimes, tickets=tickets, bookings=bookings, peak=peak, **ASSUMED)
    return text + _needs(measured, demand, showtimes)


def _on_sale(measured: Mapping[str, float]) -> str:
    people = PEOPLE * FIRST_MINUTE / 60
    bookings = ON_SALE_SHOWTIMES * SEATS / SEATS_EACH
    seconds = SOLD_IN_MINUTES * 60
    demand = {"claim": 2 * people, "full": people, "look": 6 * people, "buy": bookings / seconds}
    knee, claims = measured["knee"], demand["claim"]
    numbers = {"people": people, "claims": claims, "bookings": bookings, "seconds": seconds, "sales": demand["buy"]}
    processes = math.ceil(claims / knee)
    return (
        _ON_SALE.format(**numbers, **ASSUMED)
        + _needs(measured, demand, ON_SALE_SHOWTIMES)
        + _BY_KNEE.format(claims=claims, knee=_short(knee), processes=processes)
    )


def _needs(measured: Mapping[str, float], demand: Mapping[str, float], showtimes: int) -> str:
    """Size API, Redis, PostgreSQL and workers for what is asked per second."""
    api = {name: 1e6 / measured[name] if name in ("full", "look") else measured[name] for name in demand}
    redis = {name: measured[f"{name}_redis"] for name in demand}
    memory_gb = showtimes * measured["showtime"] * MEMORY_FACTOR / 1e9
    by_memory = math.ceil(memory_gb / NODE_MEMORY_GB)
    by_rate = math.ceil(demand["buy"] / measured["worker"])
    by_cpu, workers = _cores("workers by CPU", {"buy": measured["buy_worker"]}, demand, WORKER_BUSY)
    by_calls, nodes = _cores("Redis nodes by CPU", redis, demand, REDIS_BUSY)
    return _NEEDS.format(
        api=_cores("API processes", api, demand, API_BUSY)[0],
        redis=by_calls,
        showtimes=showtimes,
        showtime=_short(measured["showtime"]),
        factor=MEMORY_FACTOR,
        memory_gb=memory_gb,
        by_memory=by_memory,
        node_gb=NODE_MEMORY_GB,
        nodes=max(nodes, by_memory),
        postgres=_cores("PostgreSQL cores", {"buy": measured["buy_postgres"]}, demand, POSTGRES_BUSY)[0],
        by_cpu=by_cpu,
        sales=demand["buy"],
        worker=_short(measured["worker"]),
        by_rate=by_rate,
        workers=max(workers, by_rate, 2),
    )


def _cores(what: str, costs_us: Mapping[str, float], demand: Mapping[str, float], busy: float) -> tuple[str, int]:
    """Give the line that adds up what is asked per second times what each costs, and how many it takes."""
    total = sum(demand[name] * us for name, us in costs_us.items()) / 1e6
    sums = " + ".join(f"{demand[name]:,.0f} x {_short(us)} us ({name})" for name, us in costs_us.items())
    count = math.ceil(total / busy)
    return f"- {what}: {sums} = {total:,.2f} s of CPU per second; / {busy:g} = **{count:,}**", count


def _short(value: float) -> str:
    """Write a number with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """Write the page from a results file."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.capacity")
    parser.add_argument(
        "results", type=Path, nargs="+", help="JSON files of `make bench`; each gives what those before it lack"
    )
    options = parser.parse_args()
    sources = "`, `".join(f"results/{file.name}" for file in options.results)
    PAGE.write_text(page(together(options.results), sources), "utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
