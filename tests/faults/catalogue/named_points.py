"""Deaths at named points of a sale, made from outside: by lines that keep an answer, by locks, by a paused Redis."""

import asyncio
import contextlib

from engine.seats.scripts import load_scripts
from tests.faults.harness.faults import fault
from tests.faults.harness.world import PATIENCE_S

WAITS_FOR_HEADS = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE NOT granted AND relation = 'fact_heads'::regclass"""
PAUSE_MS = 20_000


def line_that_carries(script):
    """Give the bytes by which a call of a script is known on the line, whatever the server's version."""
    return load_scripts((9, 0, 0))[script].sha.encode()


async def kill_after(world, chance, line_of, mark):
    """Kill an API when a server has done what carries the mark, and before the API can hear of it."""
    victim = chance.choice(world.apis)
    line = line_of(victim)
    line.swallow_after = mark
    async with asyncio.timeout(PATIENCE_S):
        await line.answer_swallowed()
    await victim.kill()
    line.heal()
    await world.claims(5)
    await victim.begin()


@fault("api-killed-after-claim", holds="the unanswered hold lapses by itself, or is found by its key")
async def kill_after_a_claim(world, chance):
    """Redis has made the hold, and its customer never hears of it."""
    await kill_after(world, chance, lambda part: part.redis_line, line_that_carries("claim_seats"))


@fault("api-killed-after-check-out", holds="the booking is there under its key, or lapses like any other")
async def kill_after_a_check_out(world, chance):
    """Redis has made the booking of a hold, and its customer never hears of it."""
    await kill_after(world, chance, lambda part: part.redis_line, line_that_carries("check_out"))


@fault("api-killed-after-sell", holds="seats that were sold in Redis become tickets though nobody waits for the answer")
async def kill_after_a_sale(world, chance):
    """The seats are sold and the fact is written; the API dies before it reads the answer."""
    await kill_after(world, chance, lambda part: part.redis_line, line_that_carries("sell_seats"))


@fault("api-killed-after-commit", holds="what was committed is found by its key; what was not leaves no trace")
async def kill_after_a_commit(world, chance):
    """The ledger has committed an intent, a capture or a refund, and the API dies before it hears of it."""
    await kill_after(world, chance, lambda part: part.postgres_line, b"COMMIT;")


@fault("api-killed-after-capture", holds="money without an outcome is settled by a worker: tickets, or back")
async def kill_after_a_capture(world, chance):
    """Redis takes no write, so money is committed and no seat is sold for it; then both APIs die."""
    async with world.keys() as keys, world.ledger() as ledger:
        open_now = "SELECT count(*) FROM captures WHERE outcome IS NULL"
        await keys.client_pause(PAUSE_MS, all=False)
        try:
            # Whoever had begun a payment when the pause began may pay for it now.
            with contextlib.suppress(AssertionError):
                await world.until(lambda: ledger.fetchval(open_now), "money without an outcome", 8)
            found = await ledger.fetchval(open_now)
            await asyncio.gather(*(api.kill() for api in world.apis))
        finally:
            await keys.client_unpause()
    await asyncio.gather(*(api.begin() for api in world.apis))
    return {"captures_open": found}


@fault("worker-killed-before-acknowledge", holds="facts that come a second time change nothing: one ticket, one seq")
async def kill_between_commit_and_acknowledge(world, chance):
    """A lock keeps a batch from ending until Redis takes no write: it commits, cannot acknowledge, and dies."""
    victims = list(world.workers)
    async with world.keys() as keys, world.ledger() as locks, world.ledger() as ledger:
        held = locks.transaction()
        await held.start()
        await locks.execute("LOCK TABLE fact_heads IN EXCLUSIVE MODE")
        try:
            await world.until(lambda: ledger.fetchval(WAITS_FOR_HEADS), "a batch that waits for the lock")
            before = await ledger.fetchval("SELECT count(*) FROM facts")
            await keys.client_pause(PAUSE_MS, all=False)
        finally:
            await held.rollback()
        try:
            counted = "SELECT count(*) > $1 FROM facts"
            await world.until(lambda: ledger.fetchval(counted, before), "the batch committed")
            applied = await ledger.fetchval("SELECT count(*) FROM facts") - before
            await asyncio.gather(*(victim.kill() for victim in victims))
        finally:
            await keys.client_unpause()
    await asyncio.gather(*(victim.begin() for victim in victims))
    return {"facts_unacknowledged": applied}


@fault("worker-killed-after-commit", holds="whatever duty or batch was committed is not done a second time")
async def kill_a_worker_after_a_commit(world, chance):
    """Any transaction of a worker is committed and the worker dies before it hears of it."""
    victim = chance.choice(world.workers)
    victim.postgres_line.swallow_after = b"COMMIT;"
    async with asyncio.timeout(PATIENCE_S):
        await victim.postgres_line.answer_swallowed()
    await victim.kill()
    victim.postgres_line.heal()
    await victim.begin()


@fault("worker-killed-after-restock", holds="a seat that was given back is given back once, and the ledger notes it")
async def kill_after_a_restock(world, chance):
    """Redis has freed the seats of a paid-back ticket; the API or worker that asked for it dies unanswered."""
    lines = [part.redis_line for part in (*world.apis, *world.workers)]
    for line in lines:
        line.swallow_after = line_that_carries("restock_seats")
    waiting = [asyncio.create_task(line.answer_swallowed()) for line in lines]
    done, rest = await asyncio.wait(waiting, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    assert done, "nobody gave a ticket back"
    (victim, *_) = [
        part for part in (*world.apis, *world.workers) if part.redis_line is lines[waiting.index(next(iter(done)))]
    ]
    await victim.kill()
    world.redis_line.heal()
    await victim.begin()
