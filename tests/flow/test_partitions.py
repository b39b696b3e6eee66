"""Workers share the partitions, and none of them can keep one that it does not serve."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from types import SimpleNamespace

import pytest

from engine.ledger import partitions as partitions_module
from engine.ledger import reader as reader_module
from engine.ledger.fact_stream import FactStreams
from engine.ledger.turns import Turns
from engine.paths import ROOT
from engine.seats.keys import partition_of
from tests.ledgers import (
    OTHER_SHOWTIME,
    SHOWTIME,
    World,
    booking_id,
    describe,
    ended_fact,
    eventually,
    is_delivered,
    numbered,
    reading_facts,
)

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
async def two_readers(world, database_url, redis_url, monkeypatch):
    """Give two readers of one worker with a half each: the first has SHOWTIME's partition, the second OTHER_SHOWTIME's.

    Each stands still at the description of a seat until its event is set: in its turn, with the entry in its hands.
    """
    turns, readers, thaws = Turns(), [], [asyncio.Event(), asyncio.Event()]
    # The first one is alone, takes all in this order, and gives up the second half of it.
    last = partition_of(OTHER_SHOWTIME)
    in_order = SimpleNamespace(sample=lambda free, count: sorted(free, key=lambda one: (one == last, one))[:count])

    def describing(thaw):
        async def describe_later(showtime, seats):
            await thaw.wait()
            return await describe(showtime, seats)

        return describe_later

    async with AsyncExitStack() as stack:
        with monkeypatch.context() as patch:
            patch.setattr(partitions_module, "random", in_order)
            for thaw, counts in zip(thaws, ((64,), (32, 32)), strict=True):
                reading = reading_facts(world, database_url, redis_url, describe=describing(thaw), turns=turns)
                readers.append(await stack.enter_async_context(reading))
                await eventually(partial(are_shared, readers, *counts))
        assert partition_of(SHOWTIME) in readers[0].partitions
        assert partition_of(OTHER_SHOWTIME) in readers[1].partitions
        yield list(zip(readers, thaws, strict=True))


async def end_session(world, reader):
    """End the session of a reader, as a failover does."""
    application = f"{partitions_module.APPLICATION}{reader.worker}"
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
    await world.fetch(ended, application)


@pytest.mark.usefixtures("_quick_beats")
async def test_a_reader_that_stands_still_holds_off_no_other_of_its_worker(world, two_readers):
    """It has the turn, and its facts wait; those of the other reader's partitions enter the ledger all the same."""
    (_, thaw), (_, other_thaw) = two_readers
    other_thaw.set()
    (entry,) = await world.append(*numbered([ended_fact(8, [1])]))
    await eventually(lambda: is_delivered(FactStreams(world.redis), entry))
    await world.append(*numbered([ended_fact(9, [1], OTHER_SHOWTIME)]))
    await world.drained(OTHER_SHOWTIME, 5)
    assert await world.fetch("SELECT showtime_id FROM facts") == [(OTHER_SHOWTIME,)]
    thaw.set()
    await world.drained()


@pytest.mark.usefixtures("_quick_beats")
async def test_readers_of_a_worker_that_was_frozen_do_not_end_each_other(world, two_readers):
    """Nobody else noticed that the process stood still: who beats first leaves the other its session and its batch."""
    (first, _), (second, thaw) = two_readers
    (entry,) = await world.append(*numbered([ended_fact(8, [1], OTHER_SHOWTIME)]))
    position = FactStreams(world.redis).position
    await eventually(lambda: is_pending(position, entry))
    backend = "SELECT backend FROM workers WHERE id = $1"
    session = await world.fetch(backend, second.worker)
    # The whole process stands still, longer than a worker may be silent.
    time.sleep(2)
    beat = "SELECT seen_at > clock_timestamp() - interval '1 s' FROM workers WHERE id = $1"
    await eventually(lambda: are_rows(world, [(True,)], beat, first.worker))
    await asyncio.sleep(0.3)
    assert await world.fetch(backend, second.worker) == session
    thaw.set()
    await world.drained(OTHER_SHOWTIME)
    assert await world.fetch(backend, second.worker) == session


async def is_pending(position, entry):
    """Whether the reader of OTHER_SHOWTIME's partition has an entry in its hands."""
    return (await position(partition_of(OTHER_SHOWTIME))).first_pending == entry


async def are_rows(world, rows, sql, *values):
    """Whether a statement gives these rows."""
    return await world.fetch(sql, *values) == rows


@pytest.mark.usefixtures("_quick_beats")
async def test_a_session_dies_while_the_other_of_its_worker_lives(world, two_readers):
    """What the dead one had in its hands is not acknowledged; the other takes its partitions, and applies it once."""
    (reader, thaw), (other, other_thaw) = two_readers
    other_thaw.set()
    facts = numbered([ended_fact(owner, [owner]) for owner in (7, 8)])
    (first,) = await world.append(facts[0])
    streams = FactStreams(world.redis)
    await eventually(lambda: is_delivered(streams, first))
    await end_session(world, reader)
    await eventually(lambda: are_shared([other], 64))
    await world.append(facts[1], *numbered([ended_fact(9, [1], OTHER_SHOWTIME)]))
    await world.drained()
    await world.drained(OTHER_SHOWTIME)
    before = await world.dump()
    assert [row[:3] for row in before["facts"]] == [(SHOWTIME, 1, 1), (SHOWTIME, 1, 2), (OTHER_SHOWTIME, 1, 1)]
    thaw.set()
    await eventually(lambda: are_shared([reader, other], 32, 32))
    assert await world.dump() == before


@pytest.mark.usefixtures("_quick_beats")
async def test_a_commit_that_fails_in_one_session_leaves_its_entry_unacknowledged(world, two_readers):
    """Schedule: the session is ended behind the reader's back with the fact in its hands, and it tries to commit."""
    (reader, thaw), (_, other_thaw) = two_readers
    (entry,) = await world.append(*numbered([ended_fact(8, [1])]))
    streams = FactStreams(world.redis)
    await eventually(lambda: is_delivered(streams, entry))
    await end_session(world, reader)
    thaw.set()
    thaw.clear()
    # Both stand still at the next description: whoever has the partition now cannot have committed either.
    await asyncio.sleep(0.5)
    assert await world.fetch("SELECT count(*) FROM facts") == [(0,)]
    assert (await streams.position(partition_of(SHOWTIME))).first_pending == entry
    thaw.set()
    other_thaw.set()
    await world.drained()
    assert await world.fetch("SELECT showtime_id, seq FROM facts") == [(SHOWTIME, 1)]


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


async def test_a_killed_worker_is_replaced(pool, redis_client, small, start_worker, settings):
    """Two processes; after kill -9 of one, facts of every partition still arrive, without waiting for a heartbeat."""
    world = World(pool, redis_client)
    first = start_worker()
    start_worker()
    counted = "SELECT count(*) FROM workers"
    held = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
              WHERE locktype = 'advisory' AND objsubid = 2 AND datname = current_database()"""
    await eventually(lambda: gives(world, counted, 2 * settings.fact_readers), 30)
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
