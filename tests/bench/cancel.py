"""What a cancellation of 20,000 tickets does to claims on another showtime of its partition: `make bench-cancel`.

Claims of two seats go out 100 times a second through the seat engine, each hold released at once, for some seconds
before and then until the cancellation is done. As in production Redis has a core that API, worker, gateway and
PostgreSQL do not use; the claiming client shares it. Where that is allowed, both go before all else there. Of several
runs the medians are held against the limits: claims' p99 at most doubled, no script over 5 ms. Redis' slow log gives
wall time, in which the machine may have done something else. It also lists single commands inside of scripts, and one
on a single field, bit or member that takes over half a millisecond was such a pause: it is taken off its script's
time. What is left of a pause between two commands is told by the longest claim of two seats or release of one, whose
work is always the same: a script of the cancellation may take as long.
"""

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from redis import Redis

from engine.embedded.binaries import find_postgres
from engine.embedded.postgres import EmbeddedPostgres
from engine.ledger.database import open_pool
from engine.ledger.migrations import migrate
from engine.logs import configure_logs
from engine.runtime import open_runtime
from engine.seats.ids import parse_hold_id
from engine.seats.scripts import load_scripts
from tests.databases import run_sql
from tests.flow.town import open_town, until
from tests.small_catalogue import small_catalogue
from tests.sold_out import ROW_SEATS, big_hall, put_on, sell_out

SEATS = int(os.environ.get("BENCH_SEATS", "20000"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
CLAIMS_PER_S = 100
BEFORE_S = 10
RATIO_MAX = 2.0
SCRIPT_MS_MAX = 5.0
BESIDE = {"claim_seats", "release_hold"}
SINGLE = {b"GETBIT", b"HDEL", b"HGET", b"HMGET", b"HSET", b"HSETNX", b"STRLEN", b"TIME", b"ZADD", b"ZSCORE"}
TEMPLATE = "template_bench"
CORES = os.cpu_count()


async def claim_steadily(seats, showtime, stop):
    """Claim and release at a steady rate, whatever the answers take; gives ms per claim."""
    took_ms, under_way = [], set()

    async def one(number):
        first = 2 * number % (SEATS - 2)
        subject, began = f"guest:{number}", time.perf_counter()
        hold = await seats.claim_seats(showtime, subject, [first, first + 1])
        took_ms.append((time.perf_counter() - began) * 1000)
        await seats.release_hold(parse_hold_id(hold.id), subject)

    began, number = time.perf_counter(), 0
    while not stop.is_set():
        task = asyncio.create_task(one(number))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        number += 1
        await asyncio.sleep(max(0.0, began + number / CLAIMS_PER_S - time.perf_counter()))
    await asyncio.gather(*under_way)
    return took_ms


def only_on(cores, pid=0):
    """Keep a process on some of this machine's cores; its children born later stay there too."""
    if CORES > 1:
        os.sched_setaffinity(pid, cores)


def first_of_all(priority, pid=0):
    """Let a process go before all usual ones, if we may; its children do not."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))


def p99(took_ms):
    """Give the 99th percentile."""
    return sorted(took_ms)[int(len(took_ms) * 0.99)]


def scripts_of(slow, names):
    """Give ms and name of each script of the slow log, oldest first, less its pauses; inner commands come before it."""
    scripts, pauses_us = [], 0
    for entry in slow:
        command, *words = entry["command"].split()
        if command in SINGLE:
            pauses_us += entry["duration"]
        elif command == b"EVALSHA":
            if words[0] in names:
                scripts.append((max(entry["duration"] - pauses_us, 0) / 1000, names[words[0]]))
            pauses_us = 0
    return scripts


async def run(town, pool, small, hall, redis):
    """Sell out, cancel, and measure; gives p99 before and during, seconds it took, longest script and claim in ms."""
    showtime = await put_on(small, pool, hall)
    other = await put_on(small, pool, await big_hall(small, SEATS // ROW_SEATS, f"Beside {showtime}"), beside=showtime)
    await sell_out(pool, showtime, SEATS)
    async with open_runtime(town.settings, "api") as runtime:
        sold = await runtime.seats.read_seats(showtime)
        assert int.from_bytes(sold.sold).bit_count() == SEATS + 1
        await runtime.seats.read_seats(other)
        redis.config_set("slowlog-log-slower-than", 500)
        redis.config_set("slowlog-max-len", 10_000)

        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(BEFORE_S, stop.set)
        before = await claim_steadily(runtime.seats, other, stop)

        redis.slowlog_reset()
        stop = asyncio.Event()
        claims = asyncio.create_task(claim_steadily(runtime.seats, other, stop))
        began = time.perf_counter()
        token = {"Authorization": f"Bearer {town.token(subject='boss', role='admin')}"}
        async with town.client(token) as boss:
            path = f"/admin/showtimes/{showtime}"
            assert (await boss.post(f"{path}/cancel", json={"reason": "bench"})).status_code == 202
            answered_s, polled_ms = time.perf_counter() - began, []

            async def done():
                asked = time.perf_counter()
                seen = (await boss.get(f"{path}/cancellation")).json()
                polled_ms.append((time.perf_counter() - asked) * 1000)
                await asyncio.sleep(0.5)
                return seen if seen["done_at"] else None

            end = await until(done, "the end of the cancellation", timeout_s=600)
        took_s = time.perf_counter() - began
        stop.set()
        during = await claims
        assert sum(sums["amount"] for sums in end["refunds"]) == sum(money["amount"] for money in end["money"])
        assert end["seats_restocked"] == SEATS
    names = {script.sha.encode(): name for name, script in load_scripts((9,)).items()}
    slow = sorted(redis.slowlog_get(10_000), key=lambda entry: entry["id"])
    scripts = scripts_of(slow, names)
    claim_ms = max((took_ms for took_ms, name in scripts if name in BESIDE), default=0.5)
    longest_ms, name = max((script for script in scripts if script[1] not in BESIDE), default=(0.5, "none"))
    figures = (p99(before), p99(during), took_s, longest_ms, claim_ms)
    print(f"\np99 of claims {figures[0]:.1f} ms before, {figures[1]:.1f} ms during", end="")
    print(f"; longest script {longest_ms:.1f} ms ({name}), longest claim {claim_ms:.1f} ms", end="")
    print(f", {len(slow)} commands over 0.5 ms")
    print(f"{took_s:.1f} s, answered in {answered_s * 1000:.0f} ms", end="")
    print(f", a look at the progress {statistics.median(polled_ms):.0f} ms")
    return figures


async def measure(town):
    """Run as often as asked; say whether the medians keep both limits."""
    pool = await open_pool(town.settings)
    small = await small_catalogue(pool, town.settings)
    with Redis.from_url(town.redis.url) as redis:
        for priority, pid in enumerate((0, redis.info("server")["process_id"]), 1):
            only_on({0}, pid)
            first_of_all(priority, pid)
        runs = []
        for number in range(RUNS):
            hall = await big_hall(small, SEATS // ROW_SEATS, f"Big {number}")
            runs.append(await run(town, pool, small, hall, redis))
    pool.terminate()
    before, during, took_s, script_ms, claim_ms = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"medians: ratio {during / before:.2f}, {took_s:.1f} s, longest script {script_ms:.1f} ms", end="")
    print(f" (a claim {claim_ms:.1f} ms)")
    return during <= RATIO_MAX * before and script_ms <= max(SCRIPT_MS_MAX, claim_ms)


def main():
    """Measure in a town of its own; status 1 if a limit is passed."""
    configure_logs("critical")
    only_on(set(range(1, CORES)))
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", find_postgres(), settings={"fsync": "off"})
        postgres.start()
        try:
            run_sql(postgres, "postgres", f"CREATE DATABASE {TEMPLATE}")
            asyncio.run(migrate(postgres.url(TEMPLATE)))
            with open_town(Path(folder), "valkey", postgres, TEMPLATE) as town:
                sys.exit(not asyncio.run(measure(town)))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
