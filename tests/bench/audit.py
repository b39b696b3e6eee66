"""How long `seatlock audit` takes over a million tickets: `make bench-audit`.

The tickets are rows written in bulk (`tests/sold_out.py`), in showtimes of 2,000 seats; half of the showtimes are
loaded in Redis, as on an evening. One seat of one showtime is then freed in Redis behind everybody's back: a second
audit must find exactly that, or the first one has looked at nothing.
"""

import asyncio
import json
import os
import subprocess
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
from engine.progress import Progress
from engine.runtime import open_runtime
from engine.seats.keys import showtime_key
from tests.databases import run_sql
from tests.flow.town import environ_of, open_town
from tests.small_catalogue import small_catalogue
from tests.sold_out import ROW_SEATS, big_hall, put_on, sell_out

TICKETS = int(os.environ.get("BENCH_TICKETS", "1000000"))
SEATS = 2_000
LIMIT_S = 600
TEMPLATE = "template_bench"


def audit(town):
    """Run the command; gives its status, its document, and the seconds it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "engine.cli", "audit", "--json"]
    done = subprocess.run(command, env=os.environ | environ_of(town.settings), capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout), time.perf_counter() - began


async def fill(town):
    """Sell so many tickets, and load each second showtime; gives the showtimes."""
    pool = await open_pool(town.settings)
    small = await small_catalogue(pool, town.settings)
    showtimes = []
    async with open_runtime(town.settings, "api") as runtime:
        with Progress() as progress:
            for number in range(TICKETS // SEATS):
                hall = await big_hall(small, SEATS // ROW_SEATS, f"Hall {number}")
                showtimes.append(await put_on(small, pool, hall))
                await sell_out(pool, showtimes[-1], SEATS, analyze=number.bit_count() == 1)
                if number % 2 == 0:
                    await runtime.seats.read_seats(showtimes[-1])
                progress.report("tickets sold", (number + 1) * SEATS, TICKETS)
    pool.terminate()
    return showtimes


def measure(town):
    """Audit what is right and what is not; say whether both were told in time."""
    showtimes = asyncio.run(fill(town))
    status, _, took_s = audit(town)
    with Redis.from_url(town.redis.url) as redis:
        redis.setbit(showtime_key(showtimes[0], "seats"), 7, 0)  # the first bitmap: sold
    broken, found, again_s = audit(town)
    print(f"{TICKETS} tickets, {len(showtimes)} showtimes: audited in {took_s:.1f} s, status {status}", end="")
    print(f"; with a freed seat in {again_s:.1f} s, status {broken}: {json.dumps(found)[:300]}")
    return (status, broken) == (0, 1) and max(took_s, again_s) < LIMIT_S


def main():
    """Measure in a town of its own; status 1 if it took too long or told something else."""
    configure_logs("critical")
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", find_postgres(), settings={"fsync": "off"})
        postgres.start()
        try:
            run_sql(postgres, "postgres", f"CREATE DATABASE {TEMPLATE}")
            asyncio.run(migrate(postgres.url(TEMPLATE)))
            with open_town(Path(folder), "valkey", postgres, TEMPLATE) as town:
                sys.exit(not measure(town))
        finally:
            postgres.stop()


if __name__ == "__main__":
    main()
