"""How facts are taken from their streams: acknowledged once committed, trimmed once acknowledged, never skipped."""

import itertools
import json

import pytest

from engine.ledger import reader as reader_module
from engine.ledger.fact_stream import GROUP, FactStreams
from engine.seats.keys import partition_key, partition_of
from tests.ledgers import (
    SHOWTIME,
    World,
    ended_fact,
    eventually,
    is_delivered,
    numbered,
    reading_facts,
)
from tests.proxy import open_proxy

PARTITION = partition_of(SHOWTIME)
STREAM = partition_key(PARTITION, "facts")


class Stopped(Exception):
    """The process ends here."""


@pytest.fixture
async def world(pool, redis_client):
    """An empty ledger with two showtimes."""
    world = World(pool, redis_client)
    await world.begin()
    return world


async def test_a_worker_that_dies_between_commit_and_acknowledgement_repeats_nothing(
    world, database_url, redis_url, monkeypatch
):
    """The successor finds the entries pending, sees that the ledger has them, and acknowledges (I10)."""
    facts = numbered([await world.paid(7, [3]), await world.paid(8, [4])])

    async def die(*_):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(reader_module, "publish_outcomes", die)
        async with reading_facts(world, database_url, redis_url):
            await world.append(*facts)
            await eventually(lambda: has_tickets(world, 2))
    assert (await FactStreams(world.redis).position(PARTITION)).pending == 2
    before = await world.dump()
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    assert await world.dump() == before


@pytest.mark.one_redis("the line is slow, not the server")
async def test_a_worker_that_takes_partitions_over_a_slow_line_is_not_taken_for_frozen(
    world, database_url, redis_server
):
    """It says that it lives between its many small steps: else others would end it, take all, and be ended likewise."""

    async def heard(times):
        seen.update(await world.fetch("SELECT seen_at FROM workers"))
        return len(seen) >= times

    seen = set()
    async with open_proxy(redis_server.socket) as line:
        line.delay_s = 0.05
        async with reading_facts(world, database_url, line.url):
            await eventually(lambda: heard(1))
            await eventually(lambda: heard(3), timeout_s=5)


async def has_tickets(world, count):
    """Whether the ledger has that many tickets."""
    return await world.fetch("SELECT count(*) FROM tickets") == [(count,)]


async def test_what_is_acknowledged_is_committed(world, database_url, redis_url):
    """While the ledger cannot commit, nothing is acknowledged; afterwards everything arrives."""
    fact = await world.paid(7, [3])
    async with reading_facts(world, database_url, redis_url) as reader, world.pool.acquire() as connection:
        await eventually(lambda: owns_all(reader))
        async with connection.transaction():
            await connection.execute("LOCK TABLE tickets")
            (entry,) = await world.append(*numbered([fact]))
            streams = FactStreams(world.redis)
            await eventually(lambda: is_delivered(streams, entry))
            await eventually(lambda: is_waiting_for_a_lock(connection))
            assert (await streams.position(PARTITION)).first_pending == entry
        await world.drained()
    assert await has_tickets(world, 1)


async def owns_all(reader):
    """Whether a reader has every partition."""
    return len(reader.partitions) == 64


async def is_waiting_for_a_lock(connection):
    """Whether some session waits for another."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")


async def test_trimming_never_removes_what_is_unread_or_unacknowledged(world):
    """Only what is committed and acknowledged goes, whatever the length of the stream."""
    streams = FactStreams(world.redis)
    await streams.open([PARTITION])
    entries = await world.append(*numbered([ended_fact(owner, [owner]) for owner in range(1, 7)]))
    assert await streams.trim(PARTITION) == 0
    read = await streams.read_new([PARTITION], 10, 4)
    assert [entry for _, entry, _ in read] == entries[:4]
    assert await streams.trim(PARTITION) == 0
    await streams.acknowledge({PARTITION: [entries[0], entries[2]]})
    assert await streams.trim(PARTITION) == 1
    await streams.acknowledge({PARTITION: [entries[1], entries[3]]})
    assert await streams.trim(PARTITION) == 3
    assert [entry for entry, _ in await world.redis.xrange(STREAM)] == entries[4:]


async def test_trimming_looks_at_the_group_before_the_pending(world):
    """Schedule: the reader takes entries between our two looks; in the other order they would be trimmed unread."""
    streams = FactStreams(world.redis)
    await streams.open([PARTITION])
    entries = await world.append(*numbered([ended_fact(owner, [owner]) for owner in range(1, 4)]))

    class Interrupted:
        def __init__(self, client):
            self.client = client
            self.looks = itertools.count()

        def __getattr__(self, name):
            if name not in ("xinfo_groups", "xpending"):
                return getattr(self.client, name)

            async def look(*args):
                answer = await getattr(self.client, name)(*args)
                if next(self.looks) == 0:
                    await streams.read_new([PARTITION], 10, 10)
                return answer

            return look

    await FactStreams(Interrupted(world.redis)).trim(PARTITION)
    assert [entry for entry, _ in await world.redis.xrange(STREAM)] == entries


async def test_a_flushed_redis_gets_its_consumer_group_again(world, database_url, redis_url):
    """FLUSHALL takes streams and groups away; the reader goes on with what comes next."""
    async with reading_facts(world, database_url, redis_url) as reader:
        await eventually(lambda: owns_all(reader))
        await world.redis.flushall()
        await world.append(*numbered([await world.paid(7, [3])]))
        await eventually(lambda: has_tickets(world, 1))


async def test_a_group_that_is_made_again_is_not_behind_what_was_trimmed(world):
    """Nothing is waited for that is no longer in the stream: no load of the partition would begin before a new fact."""
    streams = FactStreams(world.redis)
    await streams.open([PARTITION])
    entries = await world.append(*numbered([ended_fact(owner, [owner]) for owner in range(1, 4)]))
    await streams.read_new([PARTITION], 10, 10)
    await streams.acknowledge({PARTITION: entries})
    assert await streams.trim(PARTITION) == 3
    await world.redis.xgroup_destroy(STREAM, GROUP)
    for _ in range(2):
        position = await streams.position(PARTITION)
        assert position.applied(position.end)
        await streams.open([PARTITION])
    (newer,) = await world.append(numbered([ended_fact(owner, [owner]) for owner in range(1, 5)])[3])
    assert not (await streams.position(PARTITION)).applied(newer)
    await world.redis.xgroup_destroy(STREAM, GROUP)
    assert not (await streams.position(PARTITION)).applied(newer)


async def test_entries_taken_by_a_predecessor_after_the_takeover_are_found(world, database_url, redis_url, monkeypatch):
    """Schedule: a frozen predecessor reads once more under the shared name, and cannot commit what it read."""
    monkeypatch.setattr(reader_module.limits, "TRIM_EVERY_MS", 100)
    async with reading_facts(world, database_url, redis_url):
        first, fact = numbered([await world.paid(6, [2]), await world.paid(7, [3])])
        await world.append(first)
        await eventually(lambda: has_tickets(world, 1))  # what was left before is behind the reader
        async with world.redis.pipeline(transaction=True) as pipeline:
            key = partition_key(PARTITION, "facts")
            pipeline.xadd(key, {b"showtime": b"0"})
            pipeline.xreadgroup(GROUP, "reader", {key: ">"})
            await pipeline.execute()
        await world.append(fact)
        await world.drained()
    assert await has_tickets(world, 2)


async def test_a_gap_is_not_closed_over_an_entry_that_a_predecessor_took(world, database_url, redis_url, monkeypatch):
    """As above, but the next fact arrives and waits; its patience ends before anybody has looked for strays."""
    monkeypatch.setattr(reader_module.limits, "TRIM_EVERY_MS", 60_000)
    async with reading_facts(world, database_url, redis_url, gap_ms=200) as reader:
        await eventually(lambda: owns_all(reader))
        first, taken, late = numbered([await world.paid(owner, [owner]) for owner in (6, 7, 8)])
        await world.append(first)
        await eventually(lambda: has_tickets(world, 1))
        key = partition_key(PARTITION, "facts")
        async with world.redis.pipeline(transaction=True) as pipeline:
            pipeline.xadd(key, {name: json.dumps(value) if name == "data" else value for name, value in taken.items()})
            pipeline.xreadgroup(GROUP, "reader", {key: ">"})
            await pipeline.execute()
        await world.append(late)
        await eventually(lambda: has_tickets(world, 3))
    assert await world.fetch("SELECT kind FROM cases") == []
