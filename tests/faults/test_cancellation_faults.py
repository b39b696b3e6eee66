"""A sold-out showtime is cancelled while workers die: every ticket is paid back once, and every seat is free."""

import signal
import subprocess
import sys
from contextlib import asynccontextmanager

import asyncpg
import pytest
from redis import Redis

from engine.ledger.database import open_pool
from engine.paths import ROOT
from tests.flow.town import environ_of, open_town, until
from tests.small_catalogue import small_catalogue
from tests.sold_out import PRICE_MINOR, ROW_SEATS, big_hall, put_on, sell_out

ROWS = 5
SEATS = ROWS * ROW_SEATS


@pytest.fixture(scope="module")
def town(redis_server, postgres, migrated_template, tmp_path_factory):
    """A running town whose worker may be killed."""
    with open_town(tmp_path_factory.mktemp("town"), redis_server.kind, postgres, migrated_template) as town:
        yield town


@pytest.fixture
async def pool(town):
    """The town's ledger."""
    pool = await open_pool(town.settings)
    yield pool
    pool.terminate()


@pytest.fixture
async def showtime(town, pool):
    """A showtime whose 500 seats are sold, and in Redis."""
    small = await small_catalogue(pool, town.settings)
    showtime = await put_on(small, pool, await big_hall(small, ROWS, "Big"))
    await sell_out(pool, showtime, SEATS)
    assert set((await town.seat_statuses(showtime)).values()) == {"SOLD"}
    return showtime


def command(town, *words):
    """Run `seatlock`; gives what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", *words],
        cwd=ROOT,
        env=environ_of(town.settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


@asynccontextmanager
async def a_capture_held(town, showtime):
    """Hold one payment of the showtime, so that the batch that it is in cannot end."""
    connection = await asyncpg.connect(town.database_url)
    try:
        async with connection.transaction():
            await connection.fetch(
                "SELECT FROM captures JOIN bookings ON bookings.id = booking_id WHERE showtime_id = $1 "
                "ORDER BY booking_id LIMIT 1 OFFSET 150 FOR UPDATE OF captures",
                showtime,
            )
            yield
    finally:
        await connection.close()


@pytest.mark.covers("000.19", "000.20", "001.20", "001.25", "001.32")
async def test_a_killed_worker_is_followed_by_one_that_goes_on(town, pool, showtime):
    """Killed with -9 amid a batch of refunds, and amid the seats on their way back; cancelled by the command."""
    worth = f"{SEATS // 2} bookings, {SEATS} tickets, IDR {SEATS * PRICE_MINOR // 100:,}.00 to give back"
    assert command(town, "cancel", str(showtime), "--reason", "Storm", "--dry-run") == [
        f"showtime {showtime} would be cancelled: {worth}"
    ]
    town.worker.stop()
    assert command(town, "cancel", str(showtime), "--reason", "Storm") == [
        f"showtime {showtime} is cancelled: {worth}",
        "no worker is alive: holds, tickets and seats wait for `seatlock worker`",
    ]
    again = f"showtime {showtime} was already cancelled: {worth}"
    assert command(town, "cancel", str(showtime), "--reason", "Storm", "--dry-run") == [again]
    async with town.customer() as buyer:
        assert (await buyer.claim(showtime, "AA1", status=409))["code"] == "showtime_closed"

    async with a_capture_held(town, showtime):
        town.worker.start()
        stuck = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%captures%'"
        await until(lambda: town.fetch(stuck), "a worker in the middle of a batch")
        town.worker.stop(signal.SIGKILL)
    with Redis.from_url(town.redis.url) as redis:
        redis.client_pause(60_000, all=False)
        try:
            town.worker.start()
            waiting = "SELECT FROM tickets WHERE restock_due > now() + interval '5 seconds'"
            await until(lambda: town.fetch(waiting), "a worker that gives seats back")
            town.worker.stop(signal.SIGKILL)
        finally:
            redis.client_unpause()
    await pool.execute("UPDATE tickets SET restock_due = now() WHERE restock_due IS NOT NULL")
    town.worker.start()

    done = "SELECT FROM cancellations WHERE done_at IS NOT NULL"
    await until(lambda: town.fetch(done), "the end of the cancellation", timeout_s=60)
    (left,) = await town.fetch(
        """SELECT (SELECT count(*) FROM tickets WHERE status <> 'REFUNDED') AS live,
                  (SELECT count(*) FROM bookings WHERE status <> 'REFUNDED') AS open,
                  (SELECT count(*) FROM refunds) AS refunds,
                  (SELECT count(DISTINCT session_id) FROM refunds) AS sessions,
                  (SELECT sum(amount_minor) FROM captures) - (SELECT sum(amount_minor) FROM refunds) AS kept"""
    )
    assert left == {"live": 0, "open": 0, "refunds": SEATS // 2, "sessions": SEATS // 2, "kept": 0}
    assert set((await town.seat_statuses(showtime)).values()) == {"AVAILABLE"}
    async with town.customer() as buyer:
        assert (await buyer.claim(showtime, "AA1", status=409))["code"] == "showtime_closed"
    again = command(town, "cancel", str(showtime), "--reason", "Rain")
    assert again[0] == f"showtime {showtime} was already cancelled: {worth}"
    assert sum(int(line.split()[2].rstrip(",")) for line in again[1:]) == SEATS // 2
