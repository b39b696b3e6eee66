"""PostgreSQL dies, stands still, is full or held up: money waits, holds go on, and what was told stays true."""

import asyncio
import contextlib
import time

import asyncpg
import httpx

from engine.limits import CAPTURE_SETTLE_AFTER_MS, SECOND_MS, WORKER_STALE_MS
from tests.faults.harness.faults import fault
from tests.faults.harness.stage import SEATS, at, capture, ends, open_showtime

STALE_S = WORKER_STALE_MS / SECOND_MS
END_ALL = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@fault("postgres-killed", holds="what was committed is there again, and the rest is begun anew")
async def kill_postgres(world, chance):
    """Killed with -9, all of it at once, and started again after a moment."""
    await world.postgres.kill()
    await world.wait(chance.uniform(0, 1.5))
    await world.postgres.start()


@fault("postgres-killed-again-and-again", holds="every recovery ends where the last COMMIT was")
async def kill_postgres_often(world, chance):
    """Three deaths, each as soon as something was sold again, or before."""
    for _ in range(3):
        await world.postgres.kill()
        await world.postgres.start()
        with contextlib.suppress(TimeoutError):
            await world.confirmed(2, chance.uniform(1, 6))


@fault("postgres-restarted", holds="an orderly restart costs a moment and no sale")
async def restart_postgres(world, chance):
    """As for a small upgrade: sessions are ended, and it is back within a second or two."""
    await world.postgres.end()
    await world.wait(chance.uniform(0.2, 2))
    await world.postgres.start()


@fault(
    "postgres-down-for-a-minute",
    holds="seats are shown and held, a payment is refused with Retry-After, money waits and ends as tickets",
)
async def take_postgres_down(world, chance):
    """Down for a minute with money on its way: the gateway has taken it, and nobody can write it down."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, *SEATS[:2])
        unpaid = await buyer.check_out(await buyer.claim(showtime, SEATS[2]))
        for api in world.apis:  # what an API has never seen it cannot sell without the ledger
            async with at(api, buyer) as same:
                await same.call("GET", f"/showtimes/{showtime}/seats", 200)
        began = time.monotonic()
        await world.postgres.end()
        assert await capture(world, payment) == 503, "nobody could write the money down"
        refused = await buyer.client.post(f"/bookings/{unpaid['id']}/payments", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "ledger_unavailable"), refused.text
        assert int(refused.headers["Retry-After"]) > 0
        for number, api in enumerate(world.apis):
            async with at(api, buyer) as same:
                await same.claim(showtime, SEATS[3 + number])
                assert (await world.town.seat_statuses(showtime))[SEATS[3 + number]] == "LOCKED"
        await world.wait(60 - (time.monotonic() - began))
        await world.postgres.start()
        started = time.monotonic()
        paid = await ends(world, buyer, booking, "CONFIRMED", "REFUNDED")
    assert (paid["status"], len(paid["tickets"])) == ("CONFIRMED", 2)
    return {"confirmed_after_s": round(time.monotonic() - started, 2)}


@fault("postgres-sessions-ended", holds="a transaction that lost its session has not happened, or is found to have")
async def end_sessions(world, chance):
    """An operator, or a failing pooler, ends every session in a loop."""
    ends_at, ended = time.monotonic() + chance.uniform(4, 7), 0
    async with world.ledger() as operator:
        while time.monotonic() < ends_at:
            ended += await operator.fetchval(END_ALL)
            await world.wait(chance.uniform(0.02, 0.4))
    return {"sessions_ended": ended}


@fault("postgres-frozen", holds="nobody waits for ever, no lease is lost to the living, and no fact is applied twice")
async def freeze_postgres(world, chance):
    """SIGSTOP for longer than a worker's heartbeat may be old: all of them look dead when it goes on."""
    world.postgres.freeze()
    try:
        await world.wait(STALE_S + chance.uniform(1, 4))
    finally:
        world.postgres.thaw()


@fault("postgres-frozen-briefly", holds="a pause shorter than everybody's patience is only a pause")
async def pause_postgres(world, chance):
    """SIGSTOP for a second or two, three times, as of a disk that hangs now and then."""
    for _ in range(3):
        world.postgres.freeze()
        try:
            await world.wait(chance.uniform(0.5, 2.5))
        finally:
            world.postgres.thaw()
        await world.wait(chance.uniform(0, 1))


@fault("tickets-held-up", holds="sales wait for the table and are told as unsettled, not as sold")
async def hold_tickets_up(world, chance):
    """Somebody locks `tickets` as a migration does, for longer than a capture may be without an outcome."""
    async with world.ledger() as operator, operator.transaction():
        await operator.execute("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE")
        await world.wait(CAPTURE_SETTLE_AFTER_MS / SECOND_MS + chance.uniform(1, 3))


@fault("every-commit-is-slow", holds="slow commits delay confirmations, and change nothing else")
async def slow_commits(world, chance):
    """A disk that takes a while: every new row of a fact or of an event costs up to a quarter of a second."""
    pause_s = chance.uniform(0.1, 0.25)
    async with world.ledger() as operator:
        await operator.execute(
            f"CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM pg_sleep({pause_s:.3f}); RETURN NULL; END $$"
        )
        try:
            for table in ("facts", "payment_events"):
                await operator.execute(
                    f"CREATE TRIGGER be_slow AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION be_slow()"
                )
            await world.wait(chance.uniform(5, 8))
        finally:
            await operator.execute("DROP FUNCTION be_slow CASCADE")
    return {"pause_s": round(pause_s, 3)}


@fault("postgres-full-of-connections", holds="whoever gets no connection is told so at once, and comes back")
async def take_all_connections(world, chance):
    """Strangers take every connection that is free, and those of our processes as they are ended."""
    taken = []
    try:
        ends_at = time.monotonic() + chance.uniform(4, 7)
        while time.monotonic() < ends_at:
            try:
                taken.append(await asyncpg.connect(world.town.database_url, timeout=5))
            except asyncpg.TooManyConnectionsError:
                mine = [connection.get_server_pid() for connection in taken]
                sql = (
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> ALL ($1::int[])"
                )
                await taken[0].fetchval(sql, mine)
                await world.wait(0.05)
    finally:
        for connection in taken:
            connection.terminate()
    return {"connections_taken": len(taken)}


@fault("postgres-read-only", holds="a ledger that takes no writes is an outage, told as one; holds go on")
async def make_read_only(world, chance):
    """As after a failover to a replica: every session reads and none writes."""
    async with world.ledger() as operator:
        await operator.execute("ALTER DATABASE seatlock SET default_transaction_read_only = on")
        await operator.fetchval(END_ALL)
        try:
            await world.claims(3)
            await world.wait(chance.uniform(2, 5))
        finally:
            await operator.execute("ALTER DATABASE seatlock RESET default_transaction_read_only")
            await operator.fetchval(END_ALL)


@fault("postgres-and-one-api-killed", holds="money that came amid it is settled once, by whoever lives")
async def kill_postgres_and_api(world, chance):
    """Both die in the same instant, with a payment's event under way; the API comes back first."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, *SEATS[:2])
        with contextlib.suppress(httpx.HTTPError):
            paying = asyncio.create_task(capture(world, payment))
            await world.wait(chance.uniform(0, 0.15))
            await asyncio.gather(world.postgres.kill(), world.api.kill())
            await world.postgres.start()
            await world.api.begin()
            await asyncio.gather(paying, return_exceptions=True)
        paid = await ends(world, buyer, booking, "CONFIRMED", "REFUNDED")
    assert (paid["status"], len(paid["tickets"])) == ("CONFIRMED", 2)
