"""Losing Redis, wholly or in part: what was sold, blocked, cancelled or counted comes back from the ledger."""

import asyncio
import shutil

import pytest

from engine.embedded.valkey import EmbeddedValkey
from engine.errors import Unavailable
from engine.ledger import restore as restore_module
from engine.ledger.blocks import NewBlock
from engine.ledger.fact_stream import FactStreams
from engine.ledger.records import BlockSeat
from engine.seats.ids import parse_hold_id
from engine.seats.keys import partition_key, partition_of, showtime_key
from tests.conftest import find_redis
from tests.houses import ANNA, BUDI, open_house
from tests.ledgers import eventually
from tests.showtimes import refused


@pytest.fixture
async def house(settings, small):
    """The engine over a Redis that has never heard of the showtime."""
    async with open_house(settings, small) as house:
        yield house


@pytest.mark.covers("001.30")
async def test_total_loss_of_redis_loses_holds_and_unpaid_bookings_and_nothing_else(house):
    """FLUSHALL: the next claim brings back sold seats with their sales, blocks and counts; holds are gone (I14)."""
    async with house.worker():
        capture = await house.ticketed([0, 1])
        await block(house, [8, 9])
        await house.check_out([4], BUDI)
        assert await house.map() == ({0, 1}, {4}, {8, 9})
        await house.runtime.redis.flushall()
        assert await house.map() == ({0, 1}, set(), {8, 9})
        with refused("seats_taken"):
            await house.seats.claim_seats(house.showtime, BUDI, [1, 2])
        again = await house.ticketed([4], BUDI)
    booking = await house.ledger.read_booking(capture.booking_id)
    assert booking.status == "CONFIRMED"
    assert await house.fetch("SELECT seq FROM facts ORDER BY seq") == [(1,), (2,)]
    assert again.booking_id != capture.booking_id


async def test_counts_per_customer_survive_a_reload(settings, small):
    """I13: what a customer has bought still counts after Redis has lost everything."""
    changed = await small.add_showtime(auditorium=small.auditorium, days=2)
    async with open_house(settings, small) as house:
        house.showtime = changed
        async with house.worker():
            await house.ticketed(range(10))
            await house.ticketed(range(10, 19))
            await house.runtime.redis.flushall()
            with refused("seat_limit"):
                await house.seats.claim_seats(changed, ANNA, [20, 21])
            assert (await house.seats.claim_seats(changed, ANNA, [20])).seats == (20,)


async def test_a_showtime_that_is_cancelled_while_it_is_loaded_stays_cancelled(house, monkeypatch):
    """Schedule: the load has read OPEN; the operator cancels; the load's last step comes too late (I12)."""
    read = restore_module.Restorer._read_ledger
    reads = []

    async def read_then_cancel(self, *args):
        known = await read(self, *args)
        reads.append(known["status"])
        if len(reads) == 1:
            await house.fetch("UPDATE showtimes SET status = 'CANCELLED'")
            await house.seats.close_showtime(house.showtime)
        return known

    monkeypatch.setattr(restore_module.Restorer, "_read_ledger", read_then_cancel)
    with refused("showtime_closed"):
        await house.seats.claim_seats(house.showtime, ANNA, [1])
    assert reads == ["open", "cancelled"]


async def test_facts_on_their_way_are_waited_for(house, monkeypatch):
    """The keys are gone, the fact is not: no load before the ledger has it, so a sold seat never seems free."""
    monkeypatch.setattr(restore_module, "LOAD_WAIT_MS", 300)
    capture = await house.sell([0])
    await house.runtime.redis.delete(showtime_key(house.showtime, "meta"))
    with pytest.raises(Unavailable, match="Facts of the showtime") as raised:
        await house.seats.claim_seats(house.showtime, BUDI, [0])
    assert (raised.value.code, raised.value.outcome) == ("showtime_frozen", "definite")
    async with house.worker():
        assert await house.outcome(capture) == "TICKETS"
        with refused("seats_taken"):
            await house.seats.claim_seats(house.showtime, BUDI, [0])


async def test_facts_in_a_readers_hands_are_waited_for(house, monkeypatch):
    """The same when a reader has taken the fact, and not yet acknowledged it: only then the ledger has it for sure."""
    monkeypatch.setattr(restore_module, "LOAD_WAIT_MS", 300)
    await house.sell([0])
    streams, partition = FactStreams(house.runtime.redis), partition_of(house.showtime)
    await streams.open([partition])
    assert len(await streams.read_new([partition], 10, 10)) == 1
    await house.runtime.redis.delete(showtime_key(house.showtime, "meta"))
    with pytest.raises(Unavailable, match="Facts of the showtime"):
        await house.seats.claim_seats(house.showtime, BUDI, [0])


async def test_facts_of_other_showtimes_are_not_waited_for(house, small):
    """With no worker running, a showtime without pending facts still loads."""
    numbers = [await small.add_showtime(days=2 + day) for day in range(130)]
    other = next(number for number in numbers if partition_of(number) == partition_of(house.showtime))
    await house.sell([0])
    house.showtime = other
    assert await house.map() == (set(), set(), set())


@pytest.mark.parametrize("day", [-3, None])
async def test_what_is_over_or_unknown_is_not_loaded(house, small, pool, day):
    """Past its end + 24 h a showtime is closed for ever; one that never was is not found."""
    number = 4_000_000_000
    if day is not None:
        number = await small.add_showtime(days=5)
        await pool.execute(
            "UPDATE showtimes SET starts_at = now() - interval '3 days', ends_at = now() - interval '25 hours', "
            "sales_open_at = now() - interval '4 days', sales_stop_at = now() - interval '3 days' WHERE id = $1",
            number,
        )
    with refused("not_found" if day is None else "showtime_closed"):
        await house.seats.claim_seats(number, ANNA, [1])
    assert await house.runtime.redis.exists(showtime_key(number, "meta")) == 0


@pytest.fixture
async def restartable(redis_server, tmp_path):
    """A server of the same kind with an append-only file, which the test may stop and start."""
    program = find_redis(redis_server.kind)
    with EmbeddedValkey(tmp_path / "restartable", program, appendfsync="always") as server:
        yield server


@pytest.fixture
def on_restartable(settings, restartable):
    """Settings that name it."""
    return type(settings)(
        **{name: getattr(settings, name) for name in settings.__struct_fields__} | {"redis_url": restartable.url}
    )


async def lane_is_back(house, generation):
    """Whether the lane has found the Redis that came after."""
    return house.runtime.lane.generation > generation


async def test_a_restart_with_all_data_keeps_the_holds(on_restartable, restartable, small):
    """Stream drained, seq equal, status and blocks equal: adopted under the new generation, nothing is lost."""
    async with open_house(on_restartable, small) as house, house.worker():
        await house.ticketed([0])
        loaded = await loaded_ms(house)
        await block(house, [9])
        hold = await house.check_out([4], BUDI)
        generation = house.runtime.lane.generation
        await asyncio.to_thread(restartable.stop)
        await asyncio.to_thread(restartable.start)
        await eventually(lambda: lane_is_back(house, generation), 20)
        assert await house.map() == ({0}, {4}, {9})
        assert (await house.seats.read_hold(parse_hold_id(hold.id), BUDI)).deadline_ms == hold.deadline_ms
        await house.ticketed([5])
        assert await house.fetch("SELECT generation, seq FROM facts ORDER BY 1, 2") == [(1, 1), (2, 1)]
        assert await loaded_ms(house) == loaded


@pytest.mark.parametrize(
    ("lost", "sold", "blocked"), [("sale", {0, 1}, set()), ("booking's end", {0}, set()), ("block", {0}, {9})]
)
async def test_a_restart_with_lost_data_is_rebuilt(on_restartable, restartable, small, lost, sold, blocked):
    """An older copy comes back: the ledger is ahead in seq, seats sold or not, or has a block that leaves no fact."""
    async with open_house(on_restartable, small) as house, house.worker():
        await house.ticketed([0])
        hold = await house.check_out([4], BUDI)
        copy = keep_copy(restartable)
        if lost == "sale":
            await house.ticketed([1])
        elif lost == "block":
            await block(house, [9])
        else:
            await cancel(house, hold)
        await come_back(house, restartable, copy)
        assert await house.map() == (sold, set(), blocked)
        await house.ticketed([5])
        assert await house.fetch("SELECT load_count FROM showtimes") == [(2,)]


async def test_versions_grow_over_a_restart_that_lost_claims(on_restartable, restartable, small):
    """I11: claims leave no fact, so the older copy is adopted; but what viewers saw of it never comes again."""
    async with open_house(on_restartable, small) as house, house.worker():
        await house.ticketed([0])
        loaded = await loaded_ms(house)
        copy = keep_copy(restartable)
        for seat in range(1, 9):
            await house.seats.claim_seats(house.showtime, f"guest:{seat}", [seat])
        seen = await house.seats.read_seats(house.showtime)
        await come_back(house, restartable, copy)
        assert await house.map() == ({0}, set(), set())
        assert (await house.seats.read_seats(house.showtime)).version > seen.version
        assert await loaded_ms(house) == loaded


@pytest.mark.parametrize("later", ["sale", "booking's end"])
async def test_a_copy_from_an_earlier_life_is_not_adopted(on_restartable, restartable, small, later):
    """Schedule: copy, restart, a fact of the second life, the copy comes back: its seq is the ledger's of its own life.

    Adopted, it would sell the seat of the second life again (I1), or hold what its customer gave back.
    """
    async with open_house(on_restartable, small) as house, house.worker():
        await house.ticketed([0])
        hold = await house.check_out([4], BUDI)
        copy = keep_copy(restartable)
        generation = house.runtime.lane.generation
        await asyncio.to_thread(restartable.stop)
        await asyncio.to_thread(restartable.start)
        await eventually(lambda: lane_is_back(house, generation), 20)
        if later == "sale":
            await house.ticketed([1])
        else:
            await cancel(house, hold)
        await come_back(house, restartable, copy)
        assert await house.map() == ({0, 1} if later == "sale" else {0}, set(), set())
        await house.ticketed([2])


@pytest.mark.parametrize(
    ("restock_due", "sold", "held"),
    [("NULL", {1}, set()), ("now() + interval '1 hour'", {0, 1}, {4})],
    ids=["was-free-there", "is-still-due"],
)
async def test_a_copy_that_sells_what_was_given_back_is_not_adopted(
    on_restartable, restartable, small, restock_due, sold, held
):
    """Schedule: a sale, a failover that lost it, its refund, and back to the old master, which has the sale still.

    In the life between the seat was free: giving it back left no fact. Adopted, the copy would keep it sold for ever.
    """
    async with open_house(on_restartable, small) as house, house.worker():
        await house.ticketed([0])
        await house.ticketed([1])
        await house.check_out([4], BUDI)
        copy = keep_copy(restartable)
        await house.fetch(f"UPDATE tickets SET status = 'REFUNDED', restock_due = {restock_due} WHERE seat_index = 0")
        await come_back(house, restartable, copy)
        assert await house.map() == (sold, held, set())


async def test_a_copy_that_lacks_a_sold_seat_is_not_adopted(on_restartable, restartable, small):
    """Its seq is the ledger's, its seats are not: it would sell the seat again (I1)."""
    async with open_house(on_restartable, small) as house, house.worker():
        await house.ticketed([0])
        await house.runtime.redis.setbit(showtime_key(house.showtime, "seats"), 0, 0)
        await come_back(house, restartable, keep_copy(restartable))
        assert await house.map() == ({0}, set(), set())


async def test_a_number_of_a_lost_hold_is_never_given_again(on_restartable, restartable, small):
    """Schedule: paid, then Redis comes back without that claim; another customer buys the seat; then the money sells.

    Under the same owner number that sale would seem to be its own, and its money would wait for ever.
    """
    async with open_house(on_restartable, small) as house, house.worker():
        await house.ticketed([0])
        loaded = await loaded_ms(house)
        copy = keep_copy(restartable)
        lost = await house.pay([1])
        await come_back(house, restartable, copy)
        await house.ticketed([1], BUDI)
        assert await loaded_ms(house) == loaded
        assert await house.runtime.orders.payments.settle_capture(lost) == "REFUND"


async def test_a_process_that_knows_an_earlier_redis_only_leaves_a_later_stamp_alone(house):
    """Schedule: Redis was replaced, another process has adopted the showtime, this one has not noticed yet (I8)."""
    await house.map()
    meta = showtime_key(house.showtime, "meta")
    later = await house.fetch("INSERT INTO generations (run_id, replication_id) VALUES ('r', 'r') RETURNING generation")
    await house.runtime.redis.hset(meta, "generation", later[0][0])
    with pytest.raises(Unavailable) as raised:
        await house.seats.claim_seats(house.showtime, ANNA, [1])
    assert (raised.value.code, raised.value.outcome) == ("redis_unavailable", "definite")
    assert await house.runtime.redis.hget(meta, "generation") == b"%d" % later[0][0]


async def test_a_stamp_that_the_ledger_has_forgotten_is_loaded_over(house):
    """PostgreSQL came back without the newest lives of Redis: the seats are loaded from what it knows."""
    await house.map()
    await house.runtime.redis.hset(showtime_key(house.showtime, "meta"), "generation", 99)
    assert (await house.seats.claim_seats(house.showtime, ANNA, [1])).seats == (1,)


async def loaded_ms(house):
    """Give when the load was that the showtime's data in Redis come from."""
    return int(await house.runtime.redis.hget(showtime_key(house.showtime, "meta"), "loaded_ms"))


async def is_cancelled(house, hold):
    """Whether the ledger has a booking's cancellation, which is the first that it hears of the booking."""
    booking = await house.ledger.read_booking(hold.id)
    return booking is not None and booking.status == "CANCELLED"


async def cancel(house, hold):
    """Let a booking be cancelled by its customer, and wait until the ledger has it."""
    await house.seats.release_hold(parse_hold_id(hold.id), BUDI)

    await eventually(lambda: is_cancelled(house, hold))


def keep_copy(server):
    """Copy a server's data as it is now; gives the folder."""
    copy = server.folder.with_name("copy")
    shutil.copytree(server.folder, copy, ignore=shutil.ignore_patterns("*.sock"))
    return copy


async def come_back(house, server, copy):
    """Restart a server on an older copy of its data, and wait until the lane knows it."""
    generation = house.runtime.lane.generation
    await asyncio.to_thread(server.stop)
    shutil.rmtree(server.folder)
    shutil.copytree(copy, server.folder)
    await asyncio.to_thread(server.start)
    await eventually(lambda: lane_is_back(house, generation), 20)


async def test_lost_facts_with_living_bitmaps_are_appended_again(house):
    """The stream is lost, the seats are not: what was paid in time becomes tickets under the same sale numbers."""
    async with house.worker():
        await house.ticketed([0])
    capture = await house.sell([1, 2])
    await house.runtime.redis.delete(partition_key(partition_of(house.showtime), "facts"))
    await house.fetch("UPDATE captures SET captured_at = now() - interval '1 minute', tries = 1 WHERE outcome IS NULL")
    async with house.worker():
        await house.duties.find_lost_facts()
        assert await house.fetch("SELECT reason, automatic FROM rebuilds") == [("facts_missing", True)]
        await house.duties.rebuild_showtimes()
        assert await house.outcome(capture) == "TICKETS"
    owner = parse_hold_id(capture.booking_id).owner
    assert await house.fetch("SELECT DISTINCT sale_number FROM tickets WHERE session_id = $1", capture.session_id) == [
        (owner,)
    ]
    assert await house.map() == ({0, 1, 2}, set(), set())
    assert await house.fetch("SELECT count(*) FROM rebuilds") == [(0,)]
    assert await house.fetch("SELECT seq FROM facts ORDER BY 1") == [(1,), (2,)]


async def test_what_waits_for_an_operator_stays_frozen_over_a_loss(house):
    """A poison fact froze the showtime; FLUSHALL must not open it."""
    await house.map()
    await house.fetch("INSERT INTO rebuilds VALUES ($1, 'poison_fact', false) RETURNING 1", house.showtime)
    for _ in range(2):
        await house.duties.rebuild_showtimes()
        with pytest.raises(Unavailable) as raised:
            await house.seats.claim_seats(house.showtime, ANNA, [1])
        assert raised.value.code == "showtime_frozen"
        await house.runtime.redis.flushall()
        await house.fetch("UPDATE rebuilds SET tried_at = NULL")


async def test_a_rebuild_asked_for_while_one_ends_is_not_forgotten(house, monkeypatch):
    """Schedule: the load has read the ledger; a reader finds more to mend; the load ends."""
    await house.map()
    ask = f"INSERT INTO rebuilds VALUES ({house.showtime}, 'fact_conflict', true) ON CONFLICT (showtime_id) DO {{}}"
    await house.fetch(ask.format("NOTHING"))
    finish = type(house.seats).finish_load

    async def ask_again(*args):
        await house.fetch(ask.format("UPDATE SET asked_at = clock_timestamp()"))
        return await finish(*args)

    with monkeypatch.context() as patched:
        patched.setattr(type(house.seats), "finish_load", ask_again)
        await house.duties.rebuild_showtimes()
    assert await house.fetch("SELECT count(*) FROM rebuilds") == [(1,)]
    await house.fetch("UPDATE rebuilds SET tried_at = NULL")
    await house.duties.rebuild_showtimes()
    assert await house.fetch("SELECT count(*) FROM rebuilds") == [(0,)]


async def block(house, seats):
    """Block seats as an operator does: the ledger, Redis, the ledger."""
    new = NewBlock(
        showtime=house.showtime,
        seats=tuple(BlockSeat(seat, house.small.layout.seats[seat].seat) for seat in seats),
        reason="test",
        created_by="op",
    )
    entered = await house.ledger.add_block(new)
    await house.seats.block_seats(house.showtime, seats)
    await house.ledger.finish_block(entered)
    return entered
