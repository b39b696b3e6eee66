"""Processes that die, freeze, or come back in another order: one of them, several, all at once, at random moments."""

import asyncio
import contextlib
import random
import resource
import signal
from pathlib import Path

from engine.limits import SECOND_MS, WORKER_STALE_MS
from tests.faults.harness.faults import fault
from tests.faults.harness.load import BUYERS
from tests.faults.harness.parts import family
from tests.faults.harness.world import HOLD_TTL_S, PAYMENT_TTL_S

STALE_S = WORKER_STALE_MS / SECOND_MS
"""After so long without a sign of life the other worker takes a frozen one's partitions."""
STORM = 300
SPARE_DESCRIPTORS = 3


async def revive(*parts):
    """Start dead parts again, all at once."""
    await asyncio.gather(*(part.begin() for part in parts))


async def freeze(world, victims, seconds):
    """Let them stand still for so long."""
    for victim in victims:
        victim.freeze()
    try:
        await world.wait(seconds)
    finally:
        for victim in victims:
            victim.thaw()


# --- Killed with -9 at any moment


@fault("api-killed", holds="what it has answered stands, what it has not is whole or not there")
async def kill_an_api(world, chance):
    """One of two APIs dies at any moment of all its requests; the other one sells on."""
    victim = chance.choice(world.apis)
    await world.wait(chance.uniform(0, 0.5))
    await victim.kill()
    await world.claims(chance.randint(5, 20))
    await revive(victim)


@fault("apis-killed-in-turn", holds="no restart of an API loses what another one has promised")
async def kill_apis_again_and_again(world, chance):
    """Each API dies several times, most often while the other one is just back."""
    for _ in range(4):
        victim = chance.choice(world.apis)
        await world.wait(chance.uniform(0, 0.8))
        await victim.kill()
        await revive(victim)


@fault(
    "worker-killed",
    holds="the other worker reads on where it stopped; no fact is applied twice or left out",
    quick=True,
)
async def kill_a_worker(world, chance):
    """One of two workers dies in whatever batch or duty it is."""
    victim = chance.choice(world.workers)
    await world.wait(chance.uniform(0, 0.5))
    await victim.kill()
    await world.confirmed(chance.randint(3, 8))
    await revive(victim)


@fault("workers-killed-in-turn", holds="partitions move back and forth, and every fact is applied once, in its order")
async def kill_workers_again_and_again(world, chance):
    """The workers die in turn, faster than partitions come to rest."""
    for _ in range(5):
        victim = chance.choice(world.workers)
        await world.wait(chance.uniform(0, 1.2))
        await victim.kill()
        await revive(victim)


@fault("gateway-killed", holds="payments that it has taken reach the ledger when it is back, once")
async def kill_the_gateway(world, chance):
    """Sessions cannot be opened, and events that it owes come late."""
    await world.wait(chance.uniform(0, 0.5))
    await world.gateway.kill()
    await world.claims(chance.randint(5, 20))
    await revive(world.gateway)


@fault("api-and-worker-killed", holds="the sale between both is neither lost nor made twice")
async def kill_an_api_and_a_worker(world, chance):
    """The one that sold and the one that may read of it die in the same instant."""
    victims = [chance.choice(world.apis), chance.choice(world.workers)]
    await world.wait(chance.uniform(0, 0.5))
    await asyncio.gather(*(victim.kill() for victim in victims))
    await world.wait(chance.uniform(0.1, 2))
    await revive(*victims)


@fault("all-killed", holds="whatever was on disk is enough to go on: all confirmed sales are there")
async def kill_everything(world, chance):
    """Every process and both servers die at once, and come back in a random order."""
    await world.wait(chance.uniform(0, 0.5))
    with world.mark("lost"):  # an everysec file may miss the last second, if its disk was busy
        await asyncio.gather(*(part.kill() for part in world.parts), world.redis.kill(), world.postgres.kill())
        beginnings = [world.redis.start, world.postgres.start, *(part.launch for part in world.parts)]
        chance.shuffle(beginnings)
        for begin in beginnings:
            if (begun := begin()) is not None:
                await begun
            await world.wait(chance.uniform(0, 0.3))
    await asyncio.gather(*(part.ready() for part in world.parts))


# --- Frozen by SIGSTOP for longer than what they hold lasts


@fault("api-frozen", holds="what it had begun ends by its deadlines elsewhere; thawed, it changes nothing that is over")
async def freeze_an_api(world, chance):
    """It stands still for longer than holds and payments last, and then goes on as if no time had passed."""
    await freeze(world, [chance.choice(world.apis)], PAYMENT_TTL_S + chance.uniform(0.5, 2))


@fault("worker-frozen", holds="its partitions move on without it; thawed, it finds that they are not its own any more")
async def freeze_a_worker(world, chance):
    """It stands still for longer than its lease lasts, amid a batch, and goes on with it afterwards."""
    await freeze(world, [chance.choice(world.workers)], STALE_S + chance.uniform(1, 3))


@fault("redis-frozen", holds="calls end as unknown in time and none runs late; lapsed holds are lapsed at once")
async def freeze_redis(world, chance):
    """It stands still for longer than holds last: requests pile up before it, and their callers have gone."""
    await freeze(world, [world.redis], HOLD_TTL_S + chance.uniform(0.5, 2))


@fault(
    "postgres-frozen-past-payments",
    holds="claims go on, nothing is confirmed that is not committed, money waits and is settled",
)
async def freeze_postgres(world, chance):
    """It stands still for longer than payments and statements last, its backends with it."""
    await freeze(world, [world.postgres], PAYMENT_TTL_S + chance.uniform(1, 4))


@fault("gateway-frozen", holds="customers are told to come back; a session that was opened unseen is found again")
async def freeze_the_gateway(world, chance):
    """It takes connections and says nothing for longer than anybody waits for it."""
    await freeze(world, [world.gateway], PAYMENT_TTL_S + chance.uniform(1, 2))


# --- Stopped and started by operators


@fault("rolling-restart", holds="somebody always serves: no request fails otherwise than by a cut connection or a 503")
async def restart_all_in_turn(world, chance):
    """SIGTERM and start of two APIs and two workers, one after the other, as a deployment does."""
    parts = [*world.apis, *world.workers]
    chance.shuffle(parts)
    unserved = world.load.seen.counts["unserved"]
    for part in parts:
        await part.end()
        # uvicorn ends itself by the signal that it was told to end by.
        assert part.process.returncode in (0, -signal.SIGTERM), f"{part.name} ended with {part.process.returncode}"
        await revive(part)
        await world.claims(3)
    return {"unserved_in_restart": world.load.seen.counts["unserved"] - unserved}


@fault("worker-absent", holds="nothing is confirmed meanwhile, and the backlog becomes tickets when two come at once")
async def do_without_workers(world, chance):
    """Both workers are ended; sales pile up in the streams; then two share the backlog."""
    await asyncio.gather(*(worker.end() for worker in world.workers))
    confirmed = world.load.seen.counts["confirmed"]
    await world.wait(chance.uniform(2, PAYMENT_TTL_S + 2))
    late = world.load.seen.counts["confirmed"] - confirmed
    await revive(*world.workers)
    # What was in the ledger already, each buyer may have read a moment later.
    assert late <= BUYERS, f"{late} sales were confirmed without a worker"


@fault("swizzled", holds="no order of standing still and going on makes two owners, or forgets one")
async def swizzle(world, chance):
    """All parts and servers freeze one after the other in a random order, and go on in another one."""
    frozen = [*world.parts, world.redis, world.postgres]
    chance.shuffle(frozen)
    try:
        for one in frozen:
            one.freeze()
            await world.wait(chance.uniform(0, 0.6))
    finally:
        chance.shuffle(frozen)
        for one in frozen:
            await world.wait(chance.uniform(0, 0.6))
            one.thaw()


@fault("swizzled-by-death", holds="no order of deaths and starts loses what was confirmed")
async def swizzle_deadly(world, chance):
    """All parts die one after the other in a random order, and start in another one; the servers stay."""
    parts = list(world.parts)
    chance.shuffle(parts)
    for part in parts:
        await part.kill()
        await world.wait(chance.uniform(0, 0.4))
    chance.shuffle(parts)
    for part in parts:
        part.launch()
        await world.wait(chance.uniform(0, 0.4))
    await asyncio.gather(*(part.ready() for part in world.parts))


# --- Customers, and what the system gives


@fault(
    "clients-gone",
    holds="a request whose client has gone is whole or not there; nothing of it stays behind",
)
async def storm_of_disconnects(world, chance):
    """Hundreds of requests of all kinds, each cut off by its client after some milliseconds."""

    async def visit(seed):
        buyer_chance = random.Random(seed)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(buyer_chance.uniform(0.001, 0.15)):
                await world.load.visit(buyer_chance)

    seeds = [chance.random() for _ in range(STORM)]
    for start in range(0, STORM, 30):
        await asyncio.gather(*(visit(seed) for seed in seeds[start : start + 30]))
    return {"cut_off": STORM}


@fault("api-out-of-descriptors", holds="it refuses what it cannot open, and serves again without a restart")
async def take_descriptors_away(world, chance):
    """An API may open a few more files only, while customers open connections without end."""
    (pid,) = family(world.api.pid)[:1]
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + SPARE_DESCRIPTORS, limits[1]))
    port = int(world.api.url.rpartition(":")[2])
    ends = []
    try:
        for _ in range(20):
            with contextlib.suppress(OSError):
                ends.append((await asyncio.open_connection("127.0.0.1", port))[1])
        # Connections to both servers are lost, too, and cannot be opened again.
        world.api.redis_line.cut()
        world.api.postgres_line.cut()
        await world.wait(chance.uniform(1, 3))
    finally:
        for end in ends:
            end.transport.abort()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
