"""What the faults of Redis are made with: keys of showtimes that are on sale now, waiting for a load, an audit."""

import asyncio
import contextlib
import json
import os
import random
import sys
import time

from redis.exceptions import RedisError, ResponseError

from engine.ledger.fact_stream import FactStreams
from engine.limits import PARTITIONS
from engine.paths import ROOT
from engine.seats.keys import partition_key, showtime_key
from tests.faults.harness.parts import starved_s
from tests.flow.town import environ_of
from tests.small_catalogue import SEATS

KEYS = ("meta", "seats", "deadlines")
"""What a showtime that is loaded always has."""
RESTORED_WITHIN_S = 10
"""Without the time in which a part that has to do with it waited for a processor."""
REBUILT_WITHIN_S = 30


async def pick(world, chance, keys, wanted=KEYS) -> int:
    """Give one of the showtimes that the buyers are at, once it is loaded, has the keys that are wanted, and holds."""

    async def look():
        showtime = chance.choice(world.load._hot)
        with contextlib.suppress(ResponseError):
            loaded = await keys.exists(*(showtime_key(showtime, name) for name in wanted)) == len(wanted)
            return showtime if loaded and await keys.zcard(showtime_key(showtime, "deadlines")) > 1 else None

    return await world.until(look, "a showtime with holds")


async def loads(keys, showtime) -> int:
    """Tell when the load was that the showtime's keys come from, in ms; 0 for none that is whole."""
    with contextlib.suppress(ResponseError, ValueError):
        status, number = await keys.hmget(showtime_key(showtime, "meta"), "status", "loaded_ms")
        return int(number or 0) if status == b"open" else 0
    return 0


async def loaded_anew(world, keys, showtime, before) -> float:
    """Send customers to a showtime until it was loaded anew by itself; give how long it took, in s."""
    began, starved, chance = time.monotonic(), _starved_s(world), random.Random(showtime)
    while await loads(keys, showtime) <= before:
        took, waited = time.monotonic() - began, _starved_s(world) - starved
        late = f"showtime {showtime} was not loaded anew within {took:.1f} s, {waited:.1f} s without a processor"
        assert took - min(waited, 0.8 * took) < RESTORED_WITHIN_S, late
        await world.load.claim(world.load.buyer(chance), showtime, [chance.choice(SEATS)])
        await asyncio.sleep(0.01)
    return round(time.monotonic() - began, 3)


def _starved_s(world) -> float:
    """Tell how long the parts that a load passes through have waited for a processor, all of them together."""
    pids = [os.getpid(), *(part.pid for part in (*world.apis, *world.workers)), *world.redis.pids]
    return sum(starved_s(pid) for pid in pids)


async def harm(world, chance, act, wanted=KEYS) -> dict:
    """Do harm to a showtime that is being sold, and wait until it is whole again; `act` gets keys and showtime."""
    async with world.keys() as keys:
        showtime = await pick(world, chance, keys, wanted)
        before = await loads(keys, showtime)
        with world.mark("lost", key=showtime):
            await act(keys, showtime)
            return {"showtime": showtime, "healed_s": await loaded_anew(world, keys, showtime, before)}


async def rebuilt(world) -> float:
    """Wait until no showtime is to be built anew any more but those that wait for a person; give how long it took."""
    began = time.monotonic()

    async def look():
        async with world.ledger() as ledger:
            return not await ledger.fetchval("SELECT count(*) FROM rebuilds WHERE automatic")

    await world.until(look, "no rebuild due", REBUILT_WITHIN_S)
    return round(time.monotonic() - began, 3)


async def command(world, *words) -> tuple[int, str]:
    """Run a `seatlock` command as an operator of the world; give its status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "engine.cli", *map(str, words)),
        cwd=ROOT,
        env=environ_of(world.town.settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def audit(world, showtime) -> set[tuple[str, ...]]:
    """Audit one showtime; give each difference as (kind, place, expected, found)."""
    status, said = await command(world, "audit", "--json", showtime)
    report = json.loads(said[said.index("{") :])
    found = report["before"]["differences"]
    assert status == (1 if found else 0), said
    return {(one["kind"], one["place"], one["expected"], one["found"]) for one in found}


async def repair(world, showtime) -> None:
    """Audit one showtime with `--repair`; nothing is left to be found then."""
    status, said = await command(world, "audit", "--repair", showtime)
    assert (status, "built anew" in said) == (0, True), said
    assert await audit(world, showtime) == set()


@contextlib.asynccontextmanager
async def unread_facts(world, keys, count=3):
    """Keep the workers frozen for a block; it begins when so many facts wait, and gets their partitions."""
    for worker in world.workers:
        worker.freeze()
    try:
        yield await world.until(lambda: _waiting(keys, count), "facts that nobody reads")
    finally:
        for worker in world.workers:
            worker.thaw()


async def _waiting(keys, count):
    """Give the partitions with unread facts, if there are enough of those."""
    streams, found, total = FactStreams(keys), [], 0
    for partition in range(PARTITIONS):
        position = await streams.position(partition)
        if not position.applied(position.end):
            entries = await streams.read_range(partition, b"(" + position.delivered, b"+", 100)
            total += len(entries)
            if entries:
                found.append(partition)
    return found if total >= count else None


def stream(partition) -> str:
    """Give the key of a partition's facts."""
    return partition_key(partition, "facts")


@contextlib.asynccontextmanager
async def again_and_again(pause_s, act):
    """Do something in a loop while the block runs, whatever comes of it."""
    over = asyncio.Event()

    async def loop():
        while not over.is_set():
            with contextlib.suppress(RedisError, OSError):
                await act()
            await asyncio.sleep(pause_s)

    task = asyncio.create_task(loop())
    try:
        yield
    finally:
        over.set()  # not cancelled: the client may lose that with its connection
        await task
