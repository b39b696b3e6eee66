"""Workers share the partitions, and none of them can keep one that it does not serve."""

import asyncio
import os
import subprocess
import sys

import pytest

from engine.ledger import partitions as partitions_module
from engine.ledger import reader as reader_module
from engine.paths import ROOT
from tests.ledgers import World, booking_id, describe, ended_fact, eventually, numbered, reading_facts

pytestmark = pytest.mark.one_redis(
    "partitions are locks in PostgreSQL; streams are read on every kind in test_fact_reader"
)


@pytest.fixture
async def world(pool, redis_client):
    """An empty ledger with two showtimes."""
    world = World(pool, redis_client)
    await world.begin()
    return world


@pytest.fixture
def _quick_beats(monkeypatch):
    """Let heartbeats come quickly and grow stale soon."""
    monkeypatch.setattr(reader_module.limits, "WORKER_BEAT_MS", 100)
    monkeypatch.setattr(partitions_module, "WORKER_STALE_MS", 1_500)


async def are_shared(readers, *counts):
    """Whether these readers have so many partitions, and each partition one reader."""
    owned = [partition for reader in readers for partition in reader.partitions]
    return sorted(len(reader.partitions) for reader in readers) == sorted(counts) and len(set(owned)) == len(owned)


@pytest.mark.usefixtures("_quick_beats")
async def test_partitions_are_shared_out_and_move_when_workers_come_and_go(world, database_url, redis_url):
    """One has all; two have half each; three a third; who leaves is replaced."""
    async with reading_facts(world, database_url, redis_url) as first:
        await eventually(lambda: are_shared([first], 64))
        async with reading_facts(world, database_url, redis_url) as second:
            await eventually(lambda: are_shared([first, second], 32, 32))
            async with reading_facts(world, database_url, redis_url) as third:
                await eventually(lambda: are_shared([first, second, third], 22, 22, 20))
            await eventually(lambda: are_shared([first, second], 32, 32))
        await eventually(lambda: are_shared([first], 64))


@pytest.mark.usefixtures("_quick_beats")
async def test_a_frozen_worker_loses_its_session_and_cannot_commit(world, database_url, redis_url):
    """Schedule: it stops with a batch in its hands; another takes over and applies it; then the first goes on."""
    frozen, thaw = asyncio.Event(), asyncio.Event()

    async def freeze(showtime, seats):
        frozen.set()
        await thaw.wait()
        return await describe(showtime, seats)

    await world.append(*numbered([ended_fact(8, [1])]))
    async with reading_facts(world, database_url, redis_url, describe=freeze) as first:
        await frozen.wait()
        async with reading_facts(world, database_url, redis_url) as second:
            await eventually(lambda: are_shared([second], 64))
            await world.drained()
            before = await world.dump()
            sessions = f"{partitions_module.APPLICATION}{first.worker}"
            lives = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
            assert await world.fetch(lives, sessions) == [(0,)]
            thaw.set()
            await eventually(lambda: are_shared([first, second], 32, 32))
            assert await world.dump() == before
    assert (await world.ledger.read_booking(booking_id(8))).status == "EXPIRED"


@pytest.fixture
def start_worker(settings, tmp_path):
    """Start worker processes, which end with the test."""
    given = {name: getattr(settings, name) for name in settings.__struct_fields__}
    environ = {f"SEATLOCK_{name.upper()}": str(value) for name, value in given.items() if value != ""}
    started = []

    def start():
        with (tmp_path / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "engine.cli", "worker"]
            started.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait()


async def test_a_killed_worker_is_replaced(pool, redis_client, small, start_worker):
    """Two processes; after kill -9 of one, facts of every partition still arrive, without waiting for a heartbeat."""
    world = World(pool, redis_client)
    first = start_worker()
    start_worker()
    counted = "SELECT count(*) FROM workers"
    held = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
              WHERE locktype = 'advisory' AND objsubid = 2 AND datname = current_database()"""
    await eventually(lambda: gives(world, counted, 2), 30)
    await eventually(lambda: gives(world, held, 64), 30)
    first.kill()
    first.wait()
    await world.append(ended_fact(8, [1], small.showtime, seq=1))
    await world.drained(small.showtime)
    await eventually(lambda: gives(world, held, 64))
    assert (await world.ledger.read_booking(booking_id(8, small.showtime))).status == "EXPIRED"


async def gives(world, sql, count):
    """Whether a statement counts so many."""
    return await world.fetch(sql) == [(count,)]
