"""Redis as a process: killed, restarted with nothing, cut off, busy, full, demoted, replaced by a stale replica."""

import asyncio
import contextlib
import shutil

from redis.exceptions import ResponseError

from tests.faults.harness.faults import fault
from tests.faults.redis_failover import open_replica
from tests.faults.redis_tools import again_and_again


@fault(
    "redis-killed",
    holds="what was told as sold stays sold; holds of the last second may be gone; each showtime is adopted or loaded",
)
async def kill_redis(world, chance):
    """Kill -9 of Redis with an append-only file written every second: its newest writes may be lost (I14)."""
    await world.wait(chance.uniform(0.2, 1))
    with world.mark("lost"):
        await world.redis.kill()
        await world.wait(chance.uniform(0, 1))
        await world.redis.start()


@fault("redis-killed-again-and-again", holds="as redis-killed, also when Redis dies while showtimes are being adopted")
async def kill_redis_often(world, chance):
    """Three deaths in a row, the later ones a moment after the start: adoptions and loads are cut in two."""
    with world.mark("lost"):
        for _ in range(3):
            await world.redis.kill()
            await world.redis.start()
            await world.wait(chance.uniform(0.02, 0.8))


async def _forget_everything(world):
    await world.redis.kill()
    shutil.rmtree(world.redis.folder / "appendonlydir")


@fault("redis-lost", holds="total loss costs holds and unpaid bookings, and nothing else (I14)")
async def lose_redis(world, chance):
    """Killed without any file of its data: nothing is on disk, sales that no worker has read are gone too."""
    await world.wait(chance.uniform(0.2, 1))
    with world.mark("lost"):
        await _forget_everything(world)
        await world.wait(chance.uniform(0.2, 2))
        await world.redis.start()


@fault("redis-restarted-empty", holds="an empty Redis under load is filled from the ledger, each showtime once")
async def restart_empty(world, chance):
    """Twice in a row and without a pause: buyers meet the empty Redis at once, and lose what they were given by it."""
    with world.mark("lost"):
        for _ in range(2):
            await _forget_everything(world)
            await world.redis.start()
            await world.wait(chance.uniform(0.2, 1))


@fault("redis-connections-killed", holds="a lost answer is unknown, never guessed; the lane comes back by itself")
async def kill_connections(world, chance):
    """CLIENT KILL of everybody in a loop: scripts run whose answers nobody gets."""
    async with world.keys() as keys:

        async def kill():
            await keys.client_kill_filter(_type="normal", skipme=True)
            await keys.client_kill_filter(_type="pubsub", skipme=True)

        async with again_and_again(chance.uniform(0.05, 0.3), kill):
            await world.wait(chance.uniform(2, 4))


@fault("scripts-flushed", holds="a script that Redis forgot is loaded and run once")
async def flush_scripts(world, chance):
    """SCRIPT FLUSH in a loop: NOSCRIPT may meet any call, also the one that repeats another."""
    async with world.keys() as keys, again_and_again(chance.uniform(0.002, 0.02), keys.script_flush):
        await world.wait(chance.uniform(2, 4))


@fault("redis-out-of-memory", holds="claims are refused whole, what was begun is finished; sales go on when it is over")
async def fill_memory(world, chance):
    """At maxmemory the first write of a script decides: a claim asks for memory, a sale begins with a deletion."""
    async with world.keys() as keys:
        for _ in range(2):
            await keys.config_set("maxmemory", 1)
            await world.wait(chance.uniform(0.5, 2))
            await keys.config_set("maxmemory", 0)
            await world.claims(5)


@fault("redis-busy", holds="what Redis refuses as BUSY has not happened; calls that waited too long do not run late")
async def busy_redis(world, chance):
    """Somebody's endless script: first nobody is answered, then everybody gets BUSY, until SCRIPT KILL."""
    async with world.keys() as keys, world.keys() as other:
        await keys.config_set("busy-reply-threshold", 1000)
        endless = asyncio.create_task(other.eval("while true do end", 0))
        await world.wait(chance.uniform(1.2, 4))
        await keys.script_kill()
        with contextlib.suppress(ResponseError):
            await endless


@fault("redis-read-only", holds="a demoted Redis changes nothing; promoted again it is another life of its data")
async def demote_redis(world, chance):
    """REPLICAOF nowhere for a while, then NO ONE: writes get READONLY, and the same process is a new generation."""
    async with world.keys() as keys:
        await keys.replicaof("127.0.0.1", 1)
        await world.wait(chance.uniform(0.3, 2))
        await keys.replicaof("NO", "ONE")


@fault("failover-to-stale-replica", holds="sales that the new master has never heard of are loaded from the ledger")
async def fail_over(world, chance):
    """Replication was cut, buyers went on; the replica is promoted and everybody sent there. It stays in office."""
    async with open_replica(world) as replica:
        await replica.fall_behind(sales=3)
        with world.mark("lost"):
            await replica.take_over()
        await world.confirmed(3)
        with world.mark("lost"):
            await replica.give_back()


@fault("stale-failover-loop", holds="each promotion is another generation, also of a process that was master before")
async def loop_failovers(world, chance):
    """To a stale replica, back to the stale old master that became its replica without catching up, and again."""
    async with open_replica(world) as replica:
        for _ in range(2):
            await replica.fall_behind(sales=2)
            with world.mark("lost"):
                await replica.take_over()
            await world.wait(chance.uniform(0.2, 1))
            with world.mark("lost"):
                await replica.give_back(caught_up=False)
            await world.wait(chance.uniform(0.2, 1))
