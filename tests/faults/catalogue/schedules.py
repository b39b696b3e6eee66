"""Schedules that the design closes, each played step by step on real servers, while the buyers go on beside it.

Those of money are in `money_races.py`; those of single functions are played in the rooms of these functions, and
`tests/faults/test_schedules.py` names them.
"""

import asyncio
import contextlib
import shutil
from itertools import count

import httpx
import redis.asyncio

from engine.ledger.fact_stream import GROUP
from engine.ledger.partitions import APPLICATION
from engine.limits import CALL_BUDGET_MS, FACT_GAP_MS, SECOND_MS
from engine.seats.keys import partition_key, partition_of, showtime_key
from engine.seats.seat_string import read_seat_string
from tests.faults.harness.faults import fault
from tests.faults.harness.stage import (
    SEATS,
    SETTLED_S,
    capture,
    claim_once,
    ends,
    forget,
    open_showtime,
    rows,
    settle_down,
)

PRICE = 5_000_000


# --- Readers of facts


@fault(
    "frozen-worker-wakes-with-an-old-batch", holds="its session is over: it commits nothing and acknowledges nothing"
)
async def freeze_a_worker_with_a_batch(world, chance):
    """A worker stands still inside its transaction; another ends its session and applies the batch; then it wakes."""
    async with world.ledger() as operator:
        async with operator.transaction():
            await operator.execute("LOCK TABLE facts IN SHARE MODE")
            caught = await world.until(
                lambda: waiting_workers(operator), "a worker with a batch in its hands", SETTLED_S
            )
            name, session = chance.choice(caught)
            frozen = next(worker for worker in world.workers if name.endswith(f":{worker.pid}"))
            frozen.freeze()
        try:
            ended = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
            await world.until(lambda: operator.fetchval(ended, session), "the end of its session", SETTLED_S)
            await world.confirmed(3, 40)
        finally:
            frozen.thaw()
        shared = "SELECT count(DISTINCT name) = 2 FROM workers"
        await world.until(lambda: operator.fetchval(shared), "both workers at work", SETTLED_S)


async def waiting_workers(operator):
    """Give (name, process id of the session) of the workers whose transaction waits for a lock."""
    sql = (
        "SELECT name, pid FROM pg_stat_activity JOIN workers ON application_name = $1 || workers.id "
        "WHERE wait_event_type = 'Lock'"
    )
    return [tuple(row) for row in await operator.fetch(sql, APPLICATION)]


@fault("fact-comes-after-its-successor", holds="the later one waits, then both are applied in order, each once")
async def delay_a_fact(world, chance):
    """The first of two facts of a showtime is taken out of the stream and comes back within the patience for gaps."""
    showtime = await open_showtime(world)
    stream = partition_key(partition_of(showtime), "facts")
    async with world.town.customer() as buyer, world.keys() as keys:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:3]]
        await asyncio.gather(*(worker.end() for worker in world.workers))
        try:
            paying = [asyncio.create_task(capture(world, payment)) for _, payment in begun]
            found = await world.until(lambda: facts_of(keys, stream, showtime, len(begun)), "the facts in the stream")
            first, fields = found[chance.choice((0, 1))]
            await keys.xdel(stream, first)
        finally:
            await asyncio.gather(*(worker.begin() for worker in world.workers))
        await world.until(lambda: parked(keys, stream), "a fact that waits for one before it", SETTLED_S)
        await world.wait(chance.uniform(0, FACT_GAP_MS / SECOND_MS / 3))
        await keys.xadd(stream, fields)
        await settle_down(*paying)
        for booking, _ in begun:
            await ends(world, buyer, booking, "CONFIRMED")
    kinds = "SELECT kind FROM facts WHERE showtime_id = $1 ORDER BY seq"
    assert [row["kind"] for row in await rows(world, kinds, showtime)] == ["seats_sold"] * 3
    assert await rows(world, "SELECT kind FROM cases WHERE showtime_id = $1", showtime) == []


async def facts_of(keys, stream, showtime, number):
    """Give the entries of a showtime once there are so many of them."""
    entries = await keys.xrange(stream)
    mine = [(entry, fields) for entry, fields in entries if fields.get(b"showtime") == b"%d" % showtime]
    return mine if len(mine) == number else None


async def parked(keys, stream):
    """Tell whether something was read and is not acknowledged."""
    groups = await keys.xinfo_groups(stream)
    return any(group["name"] == GROUP.encode() and group["pending"] for group in groups)


@fault("acknowledgements-lost", holds="what is committed is found committed, and nothing unacknowledged is trimmed")
async def lose_acknowledgements(world, chance):
    """Workers commit and acknowledge, and never learn whether; each reads all of it again.

    All that is sold may be read by one of them: the other has nothing to acknowledge then.
    """
    for worker in world.workers:
        worker.redis_line.swallow_after = b"XACK"
    swallowed = [asyncio.create_task(worker.redis_line.answer_swallowed()) for worker in world.workers]
    try:
        done, _ = await asyncio.wait(swallowed, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done, "nothing was acknowledged"
        await world.wait(chance.uniform(1, 6))
    finally:
        for worker, task in zip(world.workers, swallowed, strict=True):
            task.cancel()
            worker.redis_line.heal()


@fault(
    "facts-lost-with-living-bitmaps", holds="what was paid in time becomes tickets of the same sale, from the captures"
)
async def lose_a_stream(world, chance):
    """Seats are sold in Redis and nobody has read it; the stream goes, the seats stay."""
    showtime = await open_showtime(world)
    stream = partition_key(partition_of(showtime), "facts")
    async with world.town.customer() as buyer, world.keys() as keys:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:4]]
        await capture(world, begun[0][1])
        await ends(world, buyer, begun[0][0], "CONFIRMED")
        await asyncio.gather(*(worker.end() for worker in world.workers))
        try:
            paying = [asyncio.create_task(capture(world, payment)) for _, payment in begun[1:3]]
            await world.until(lambda: sold(world, showtime, 3), "the sales in Redis")
            owners = read_seat_string(await keys.get(showtime_key(showtime, "seats"))).owners
            await keys.delete(stream)
        finally:
            await asyncio.gather(*(worker.begin() for worker in world.workers))
        await settle_down(*paying)
        for booking, _ in begun[:3]:
            await ends(world, buyer, booking, "CONFIRMED", "REFUNDED")
    sales = await rows(world, "SELECT seat_index, sale_number FROM tickets WHERE showtime_id = $1", showtime)
    assert len(sales) == 3
    for sale in sales:
        assert owners[sale["seat_index"]] == sale["sale_number"]


async def sold(world, showtime, number):
    """Tell whether so many seats are sold, as anybody sees it."""
    return list((await world.town.seat_statuses(showtime)).values()).count("SOLD") == number


# --- Redis stands still, is replaced, forgets


@fault("calls-wait-in-a-frozen-redis", holds="what Redis reaches too late refuses to run: no seat is held by nobody")
async def queue_calls_in_a_frozen_redis(world, chance):
    """Claims are sent to a Redis that stands still, longer than anybody waits; then it works its queue off."""
    showtime = await open_showtime(world)
    await world.town.seat_statuses(showtime)
    async with contextlib.AsyncExitStack() as stack:
        buyers = [await stack.enter_async_context(world.town.customer()) for _ in SEATS]
        world.redis.freeze()
        try:
            claims = [
                asyncio.create_task(claim_once(world.apis[number % 2], buyer, showtime, SEATS[number]))
                for number, buyer in enumerate(buyers)
            ]
            await world.wait(CALL_BUDGET_MS / SECOND_MS + chance.uniform(0.3, 2))
        finally:
            world.redis.thaw()
        answers = await asyncio.gather(*claims)
    assert 201 not in answers, answers
    statuses = await world.until(lambda: seen_again(world, showtime), "the map after the thaw")
    assert set(statuses.values()) == {"AVAILABLE"}


async def seen_again(world, showtime):
    """Give the seat map once it is shown again."""
    with contextlib.suppress(AssertionError, httpx.TransportError):
        return await world.town.seat_statuses(showtime)
    return None


@fault(
    "loaders-race-and-one-is-frozen", holds="one load is installed, whole; the one that wakes up later changes nothing"
)
async def race_loaders(world, chance):
    """Two APIs load a lost showtime; one is frozen between its first step and its last, and wakes after the other."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, *SEATS[:2])
        await capture(world, payment)
        await ends(world, buyer, booking, "CONFIRMED")
        slow, quick = chance.sample(world.apis, 2)
        async with world.ledger() as operator, operator.transaction():
            await operator.fetchval("SELECT id FROM showtimes WHERE id = $1 FOR UPDATE", showtime)
            await forget(world, showtime)
            late = asyncio.create_task(claim_once(slow, buyer, showtime, SEATS[2]))
            async with world.keys() as keys:
                begun = showtime_key(showtime, "loading")
                await world.until(lambda: keys.exists(begun), "the first step of a load")
            await world.wait(0.1)
            slow.freeze()
        try:
            await world.until(lambda: claimed(quick, buyer, showtime, SEATS[3]), "the other load", SETTLED_S)
        finally:
            slow.thaw()
        await late
        await world.wait(1)
        statuses = await world.town.seat_statuses(showtime)
    assert [statuses[seat] for seat in SEATS[:2]] == ["SOLD"] * 2
    assert statuses[SEATS[3]] == "LOCKED"


async def claimed(api, buyer, showtime, seat):
    """Tell whether the claim of a seat succeeds now."""
    return await claim_once(api, buyer, showtime, seat) == 201


@fault("failover-there-and-back-again", holds="seats of another life are never trusted: no seat is sold by two of them")
async def fail_over_in_a_loop(world, chance):
    """A, its old copy B, A again, B again: each promotion meets what sold meanwhile elsewhere, and each is stale."""
    first = world.redis.embedded
    await world.redis.end()
    folder = world.folder / f"copy-{chance.getrandbits(32):x}"
    await asyncio.to_thread(shutil.copytree, first.folder, folder)
    await world.redis.start()
    second = type(first)(folder, first.program)
    await asyncio.to_thread(second.start)
    masters, turns = [first, second], count(1)
    with world.mark("lost"):
        try:
            for _ in range(4):
                with contextlib.suppress(TimeoutError):
                    await world.confirmed(chance.randint(1, 3), 6)
                await promote(world, masters[next(turns) % 2], masters, demote=chance.random() < 0.5)
        finally:
            await promote(world, first, masters, demote=True)
            await asyncio.to_thread(second.stop)


async def promote(world, master, all_of_them, *, demote):
    """Make one of them the master, as a failover does; the others follow nobody that could tell them anything.

    Without `demote` they stay masters, as when somebody only changes where a name leads to.
    """
    for server in all_of_them if demote else ():
        async with redis.asyncio.Redis.from_url(server.url) as client:
            if server is not master:
                await client.replicaof("127.0.0.1", 1)
    async with redis.asyncio.Redis.from_url(master.url) as client:
        await client.replicaof("NO", "ONE")
    for line in world.redis_line:
        line.upstream = master.socket
        line.cut()
