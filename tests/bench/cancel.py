"""What a cancellation of 20,000 tickets does to claims on another showtime of its partition: `make bench-cancel`.

Claims of two seats go out 100 times a second through the seat engine, each hold released at once, for some seconds
before and then until the cancellation is done. As in production Redis has a core that API, worker, gateway and
PostgreSQL do not use; the claiming client shares it. Where that is allowed, both go before all else there. Of several
runs the median ratio of claims' p99 is held against its limit: at most doubled. No script may run over 5 ms: Redis'
slow log lists all of them, in wall time, in which the machine may have done something else. Calls of one script with as
many arguments do the same work, so the time that 95 of 100 of them stay within is what it takes; what is longer is
counted, and so are claims of two seats and releases of one, of which none can be work.
"""

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
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
SCRIPT_SHARE = 0.95
SLOW_LOG_MAX = 2_000_000
BESIDE = {"claim_seats", "release_hold"}
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


def scripts_of(redis):
    """Give from the slow log what each script took in ms, by its name and the size of its arguments."""
    names = {script.sha.encode(): name for name, script in load_scripts((9,)).items()}
    with contextlib.closing(redis.client()) as raw:
        raw.set_response_callback("SLOWLOG GET", lambda entries, **_: entries)
        entries = raw.slowlog_get(SLOW_LOG_MAX)
    took_ms = defaultdict(list)
    for _, _, us, (command, *words), *_ in entries:
        if command == b"EVALSHA" and words[0] in names:
            # Only the first words are listed, and how many more there are.
            more = words[-1] if words[-1].startswith(b"... (") else b""
            took_ms[names[words[0]], len(words), more].append(us / 1000)
    return took_ms


def tell_scripts(took_ms):
    """Print what the scripts took; gives the time of the longest work."""
    works = {}
    for beside in (False, True):
        kinds = {kind: sorted(times) for kind, times in took_ms.items() if (kind[0] in BESIDE) == beside}
        works[beside], name, calls = max(
            (times[int(SCRIPT_SHARE * (len(times) - 1))], kind[0], len(times)) for kind, times in kinds.items()
        )
        every = [time_ms for times in kinds.values() for time_ms in times]
        over = sum(time_ms > SCRIPT_MS_MAX for time_ms in every)
        print("claims beside: " if beside else "its scripts: ", end="")
        print(f"{len(every)} calls, the longest work {works[beside]:.2f} ms ({name}, {calls} calls)", end="")
        print(f"; median {statistics.median(every):.2f}, longest {max(every):.1f} ms, {over} over {SCRIPT_MS_MAX:g} ms")
    return works[False]


async def run(town, pool, small, hall, redis):
    """Sell out, cancel, and measure; gives p99 before and during in ms, seconds it took, and the scripts' times."""
    showtime = await put_on(small, pool, hall)
    other = await put_on(small, pool, await big_hall(small, SEATS // ROW_SEATS, f"Beside {showtime}"), beside=showtime)
    await sell_out(pool, showtime, SEATS)
    async with open_runtime(town.settings, "api") as runtime:
        sold = await runtime.seats.read_seats(showtime)
        assert int.from_bytes(sold.sold).bit_count() == SEATS + 1
        await runtime.seats.read_seats(other)
        redis.config_set("slowlog-log-slower-than", 0)
        redis.config_set("slowlog-max-len", SLOW_LOG_MAX)

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
    scripts = scripts_of(redis)
    print(f"\np99 of claims {p99(before):.1f} ms before, {p99(during):.1f} ms during")
    tell_scripts(scripts)
    print(f"{took_s:.1f} s, answered in {answered_s * 1000:.0f} ms", end="")
    print(f", a look at the progress {statistics.median(polled_ms):.0f} ms")
    return p99(before), p99(during), took_s, scripts


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
    *columns, scripts = zip(*runs, strict=True)
    before, during, took_s = (statistics.median(column) for column in columns)
    took_ms = defaultdict(list)
    for one in scripts:
        for kind, times in one.items():
            took_ms[kind] += times
    print(f"\nmedians of {RUNS} runs: ratio {during / before:.2f}, {took_s:.1f} s; scripts of all runs:")
    return tell_scripts(took_ms) <= SCRIPT_MS_MAX and during <= RATIO_MAX * before


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
