"""What the worker brings to an end when the request that began it did not."""

import asyncio
import itertools
from uuid import UUID

import pytest

from engine.blocking import lift_block, put_block
from engine.errors import Unavailable
from engine.ledger.blocks import NewBlock
from engine.ledger.queries import query
from engine.ledger.reader import FactReader
from engine.ledger.records import BlockSeat
from engine.limits import DUTY_BATCH_MAX
from engine.seats.ids import HoldId, parse_hold_id
from engine.seats.keys import partition_key, partition_of, showtime_key
from engine.seats.redis_errors import RedisError
from engine.worker import repeat, work
from tests.houses import ANNA, BUDI, open_house
from tests.ledgers import eventually
from tests.showtimes import refused

pytestmark = pytest.mark.one_redis(
    "duties follow rows of PostgreSQL; their scripts run on every kind in tests/lua, restores in test_restore"
)


@pytest.fixture
def policy_changes():
    """Holds of this cinema last a second, and so do its payments."""
    return {"hold_ttl_s": 1, "payment_ttl_s": 1}


@pytest.fixture
async def house(settings, small):
    """The engine without a worker: what it would do is called by the tests."""
    async with open_house(settings, small) as house:
        yield house


async def is_lapsed(house, hold):
    """Whether Redis' clock has passed a deadline."""
    return house.runtime.lane.now_ms() > hold.deadline_ms


async def test_money_without_an_outcome_is_settled(house):
    """The process that took the event died before the sale: ten seconds later the worker sells the seats."""
    capture = await house.pay([0, 1])
    assert await house.duties.settle_captures() == 0
    await house.fetch("UPDATE captures SET settle_due = now()")
    async with house.worker():
        assert await house.duties.settle_captures() == 1
        assert await house.outcome(capture) == "TICKETS"
    assert await house.duties.settle_captures() == 0


@pytest.mark.parametrize("name", ["facts", "lapses"])
async def test_what_stands_in_the_place_of_a_partitions_key_is_removed(house, name):
    """Overwritten with a text, the stream or the hint stops its partition until it is removed; sound keys stay."""
    capture = await house.pay([0, 1])
    await house.runtime.redis.set(partition_key(partition_of(house.showtime), name), "strange")
    async with house.worker():
        await house.duties.drop_strangers()
        assert await house.runtime.redis.type(partition_key(partition_of(house.showtime), name)) != b"string"
        await house.fetch("UPDATE captures SET settle_due = now()")
        await house.duties.settle_captures()
        assert await house.outcome(capture) == "TICKETS"
        await house.duties.drop_strangers()
        assert await house.runtime.redis.exists(partition_key(partition_of(house.showtime), "facts"))


async def test_money_that_cannot_buy_its_seats_any_more_goes_back(house):
    """Its hold lapsed and somebody else has a seat of it: refused whole, once."""
    capture = await house.pay([0, 1])
    hold = await house.seats.read_hold(parse_hold_id(capture.booking_id))
    await eventually(lambda: is_lapsed(house, hold))
    await house.seats.claim_seats(house.showtime, BUDI, [1])
    for _ in range(2):
        await house.fetch("UPDATE captures SET settle_due = now()")
        await house.duties.settle_captures()
    assert await house.ledger.read_outcome("fake", capture.session_id) == "REFUND"
    assert await house.fetch("SELECT amount_minor, reason FROM refunds") == [(capture.amount_minor, "seats_taken")]


async def test_two_workers_take_each_capture_once(house):
    """Schedule: one has taken some and not committed; the other gets the rest at once, and never the same."""
    captures = [await house.pay([seat], f"guest:{seat}") for seat in range(6)]
    await house.fetch("UPDATE captures SET settle_due = now()")
    async with house.runtime.pool.acquire() as connection, connection.transaction():
        first = {row["session_id"] for row in await connection.fetch(query("due_captures"), 4)}
        second = {capture.session_id for capture in await house.ledger.due_captures(4)}
    assert (len(first), len(second)) == (4, 2)
    assert first | second == {capture.session_id for capture in captures}
    assert await house.ledger.due_captures(4) == []


async def test_lapsed_holds_are_ended_and_their_bookings_enter_the_ledger(house):
    """The timer reads the partition's hint; the fact of the booking's end does the rest."""
    hold = await house.check_out([3], BUDI)
    hint = partition_key(partition_of(house.showtime), "lapses")
    assert await house.duties.expire_holds() == 0
    await eventually(lambda: is_lapsed(house, hold))
    async with house.worker():
        assert await house.duties.expire_holds() == 1
        await eventually(lambda: has_status(house, hold.id, "EXPIRED"))
    assert await house.runtime.redis.zcard(hint) == 0
    booking = await house.ledger.read_booking(hold.id)
    assert [(seat.seat, seat.tier) for seat in booking.seats] == [("A4", "REGULAR")]


async def has_status(house, booking_id, status):
    """Whether the ledger has a booking in that status."""
    booking = await house.ledger.read_booking(booking_id)
    return booking is not None and booking.status == status


async def test_a_hint_of_a_showtime_that_is_over_goes_away(house, pool):
    """A lapse that nobody can end any more must not be tried for ever."""
    await house.map()
    hint = partition_key(partition_of(house.showtime), "lapses")
    await house.runtime.redis.flushall()
    await house.runtime.redis.zadd(hint, {str(house.showtime): 1})
    await pool.execute(
        "UPDATE showtimes SET starts_at = now() - interval '3 days', ends_at = now() - interval '25 hours', "
        "sales_open_at = now() - interval '4 days', sales_stop_at = now() - interval '3 days'"
    )
    await house.duties.expire_holds()
    assert await house.runtime.redis.exists(hint) == 0


async def test_a_booking_whose_hold_went_with_redis_expires(house):
    """It is PENDING in the ledger and nothing will ever end it there; a living hold only moves its deadline."""
    lost, kept = await intend(house, [0], ANNA), await intend(house, [1], BUDI)
    await house.fetch("UPDATE bookings SET expires_at = now() - interval '1 minute'")
    await house.runtime.redis.flushall()
    hold = await house.check_out([2], "guest:third")
    await house.duties.expire_bookings()
    statuses = await house.fetch("SELECT id::text, status FROM bookings")
    assert dict(statuses) == {lost: "EXPIRED", kept: "EXPIRED"}
    assert await house.fetch("SELECT DISTINCT status FROM payments") == [("EXPIRED",)]
    assert await house.ledger.read_booking(hold.id) is None


async def intend(house, seats, subject):
    """Bring a booking into the ledger without money; gives its id."""
    capture = await house.pay(seats, subject)
    await house.fetch("DELETE FROM captures WHERE session_id = $1", capture.session_id)
    await house.fetch("UPDATE payments SET status = 'PENDING' WHERE session_id = $1", capture.session_id)
    return capture.booking_id


async def test_bookings_that_cannot_be_expired_keep_no_other_waiting(house, monkeypatch):
    """Redis fails for the oldest ones, a full round of them; the next round has the others, then those come again."""
    lost = await intend(house, [0], ANNA)
    await house.fetch("UPDATE bookings SET expires_at = now() - interval '1 minute'")
    await house.fetch(
        "INSERT INTO bookings SELECT (jsonb_populate_record(bookings, jsonb_build_object('id', other, "
        "'expires_at', now() - interval '1 hour'))).* FROM bookings, unnest($1::uuid[]) AS other",
        [
            UUID(str(HoldId(claimed_at_ms=1, owner=number, showtime=house.showtime)))
            for number in range(1, DUTY_BATCH_MAX + 1)
        ],
    )
    read_hold = house.seats.read_hold

    errors = itertools.cycle([Unavailable("redis_unavailable"), RedisError("ERR a script has a mistake")])

    async def read_one_hold(hold_id, *args):
        if str(hold_id) != lost:
            raise next(errors)
        return await read_hold(hold_id, *args)

    await house.runtime.redis.flushall()
    monkeypatch.setattr(house.seats, "read_hold", read_one_hold)
    assert await house.duties.expire_bookings() == DUTY_BATCH_MAX
    assert not await has_status(house, lost, "EXPIRED")
    assert await house.duties.expire_bookings() == 1
    assert await has_status(house, lost, "EXPIRED")
    assert await house.duties.expire_bookings() == 0
    await house.fetch("UPDATE bookings SET look_due = now() - interval '5 seconds' WHERE status = 'PENDING'")
    assert await house.duties.expire_bookings() == DUTY_BATCH_MAX


async def test_a_showtime_that_cannot_be_read_hides_no_lost_facts_of_others(house, small):
    """Keys of two showtimes have another type; that between them has counted further than the ledger, and is found."""
    damaged = house.showtime
    for showtime in (damaged, lost := await small.add_showtime(days=3), also := await small.add_showtime(days=5)):
        house.showtime = showtime
        await house.pay([0], f"guest:{showtime}")
    await house.fetch("UPDATE captures SET captured_at = now() - interval '1 minute', tries = 1")
    await house.runtime.redis.hincrby(showtime_key(lost, "meta"), "seq", 1)
    for showtime in (damaged, also):
        await house.runtime.redis.delete(showtime_key(showtime, "meta"))
        await house.runtime.redis.rpush(showtime_key(showtime, "meta"), "x")
    await house.duties.find_lost_facts()
    assert await house.fetch("SELECT showtime_id, reason FROM rebuilds") == [(lost, "facts_missing")]


async def test_a_booking_whose_hold_lives_is_not_expired_by_the_ledgers_clock(settings, small):
    """Redis' deadline counts; the ledger's is moved to it."""
    long_lived = await small.add_showtime(days=2)
    await small.catalogue.read_showtime(long_lived)
    async with open_house(settings, small) as house:
        booking_id = await intend(house, [0], ANNA)
        await house.fetch("UPDATE bookings SET expires_at = now() - interval '1 minute'")
        hold = await house.seats.read_hold(parse_hold_id(booking_id))
        await house.duties.expire_bookings()
        booking = await house.ledger.read_booking(booking_id)
        assert (booking.status, booking.expires_at_ms) == ("PENDING", hold.deadline_ms)


async def test_seats_of_refunded_tickets_go_back_exactly_once(house):
    """I12: freed from the very sale they belong to; sold again meanwhile, they stay with the new owner."""
    async with house.worker():
        await house.ticketed([0, 1])
        await refund_tickets(house)
        await house.duties.restock_seats()
        await eventually(lambda: nothing_is_due(house))
        assert await house.map() == (set(), set(), set())
        again = await house.ticketed([0], BUDI)
        await house.fetch("UPDATE tickets SET restock_due = now() WHERE status = 'REFUNDED'")
        await house.duties.restock_seats()
        assert await nothing_is_due(house)
        assert await house.map() == ({0}, set(), set())
    assert await house.fetch("SELECT session_id FROM tickets WHERE status = 'SOLD'") == [(again.session_id,)]
    assert await house.fetch("SELECT count(*) FROM facts WHERE kind = 'seats_restocked'") == [(1,)]


async def refund_tickets(house):
    """Refund all tickets as the refund room will."""
    await house.fetch("UPDATE tickets SET status = 'REFUNDED', restock_due = now()")


async def nothing_is_due(house):
    """Whether no seat waits to go back to stock."""
    return await house.fetch("SELECT count(*) FROM tickets WHERE restock_due IS NOT NULL") == [(0,)]


async def test_a_restock_after_a_total_loss_finds_nothing_to_free(house):
    """The load no longer has the refunded tickets, so their seats are free without a fact."""
    async with house.worker():
        await house.ticketed([0])
        await refund_tickets(house)
        await house.runtime.redis.flushall()
        await house.duties.restock_seats()
        assert await nothing_is_due(house)
        assert await house.map() == (set(), set(), set())


def new_block(house, seats, **fields):
    """Give a block of seats."""
    rows = tuple(BlockSeat(seat, house.small.layout.seats[seat].seat) for seat in seats)
    return NewBlock(showtime=house.showtime, seats=rows, reason="test", created_by="op", **fields)


async def test_a_block_that_redis_was_not_told_of_is_applied(house):
    """The API died between the ledger and Redis."""
    await house.ledger.add_block(new_block(house, [5, 6]))
    assert await house.duties.apply_blocks() == 0
    await house.fetch("UPDATE blocks SET apply_due = now()")
    await house.map()
    assert await house.duties.apply_blocks() == 1
    assert (await house.map())[2] == {5, 6}
    assert [block.applied for block in await house.ledger.list_blocks(house.showtime)] == [True]


async def test_a_block_that_cannot_be_applied_is_released_with_a_case(house):
    """A customer was faster: all or nothing, and a person is told."""
    await house.map()
    await house.seats.claim_seats(house.showtime, ANNA, [6])
    await house.ledger.add_block(new_block(house, [5, 6]))
    await house.fetch("UPDATE blocks SET apply_due = now()")
    await house.duties.apply_blocks()
    assert (await house.map())[2] == set()
    assert await house.ledger.list_blocks(house.showtime) == []
    assert await house.fetch("SELECT kind FROM cases") == [("block_refused",)]


async def test_a_block_ends_at_its_agreed_time(house):
    """The seats are for sale again, and another block of them may come."""
    await house.map()
    block = await house.ledger.add_block(new_block(house, [5], release_at_ms=house.runtime.lane.now_ms() + 60_000))
    await house.seats.block_seats(house.showtime, [5])
    await house.ledger.finish_block(block)
    await house.duties.apply_blocks()
    assert (await house.map())[2] == {5}
    await house.fetch("UPDATE blocks SET release_at = now()")
    await house.duties.apply_blocks()
    assert (await house.map())[2] == set()
    await house.ledger.add_block(new_block(house, [5]))


async def test_the_late_end_of_a_block_leaves_the_seats_of_the_next_one(house):
    """Schedule: block ended in the ledger, Redis not told; the same seat is blocked again; then Redis is told."""
    await house.map()
    first = await house.ledger.add_block(new_block(house, [5, 6]))
    await house.seats.block_seats(house.showtime, [5, 6])
    await house.ledger.finish_block(first)
    await house.ledger.release_block(first.id)
    await house.ledger.finish_block(await house.ledger.add_block(new_block(house, [5])))
    await house.fetch("UPDATE blocks SET apply_due = now() WHERE apply_due IS NOT NULL")
    await house.duties.apply_blocks()
    assert (await house.map())[2] == {5}


async def test_a_refused_block_leaves_nothing_that_a_load_brought(house):
    """Schedule: the block is in the ledger, one seat of it is sold; Redis is lost and loads the rest as blocked."""
    async with house.worker():
        await house.ticketed([6])
    await house.ledger.add_block(new_block(house, [5, 6]))
    await house.runtime.redis.flushall()
    assert await house.map() == ({6}, set(), {5})
    await house.fetch("UPDATE blocks SET apply_due = now()")
    await house.duties.apply_blocks()
    assert await house.map() == ({6}, set(), set())
    assert await house.fetch("SELECT kind FROM cases") == [("block_refused",)]


async def test_a_block_that_ends_while_redis_is_told_of_it_ends_there_too(house):
    """Schedule: the request that blocks stands still before Redis; a colleague ends the block; then Redis is told."""
    await house.map()
    block = await house.ledger.add_block(new_block(house, [5]))
    ended = await house.ledger.release_block(block.id)
    await lift_block(house.seats, house.ledger, ended)
    await house.ledger.finish_block(ended)
    await put_block(house.seats, block)
    await house.ledger.finish_block(block)
    assert await house.duties.apply_blocks() == 1
    assert (await house.map())[2] == set()


async def test_a_block_entered_while_another_is_lifted_stands(house, monkeypatch):
    """Schedule: the end of a block looks which seats are free; one is blocked anew; then Redis is told to free it."""
    await house.map()
    first = await house.ledger.add_block(new_block(house, [5, 6]))
    await put_block(house.seats, first)
    await house.ledger.finish_block(first)
    look = house.ledger.seats_to_free

    async def look_then_block(ended):
        free = await look(ended)
        if free == [5, 6]:
            second = await house.ledger.add_block(new_block(house, [5]))
            await put_block(house.seats, second)
            await house.ledger.finish_block(second)
        return free

    monkeypatch.setattr(house.ledger, "seats_to_free", look_then_block)
    await lift_block(house.seats, house.ledger, await house.ledger.release_block(first.id))
    assert await house.duties.apply_blocks() == 1
    assert (await house.map())[2] == {5}


async def test_a_duty_that_fails_is_tried_again_and_stops_nothing(house):
    """Failures are followed by growing pauses, a full round by another at once."""
    rounds, paused = [], asyncio.Event()

    async def duty():
        rounds.append(asyncio.get_running_loop().time())
        if len(rounds) <= 3:
            raise Unavailable("ledger_unavailable")
        if len(rounds) == 6:
            paused.set()
        return DUTY_BATCH_MAX

    task = asyncio.create_task(repeat(duty, 20))
    await asyncio.wait_for(paused.wait(), 5)
    task.cancel()
    pauses = [later - earlier for earlier, later in itertools.pairwise(rounds)]
    assert pauses[0] >= 0.04
    assert pauses[1] >= 0.08
    assert pauses[2] >= 0.16
    assert pauses[3] < 0.08


async def test_the_whole_worker_settles_an_abandoned_payment(house):
    """Reader and duties together: from durable money to tickets with nobody asking."""
    capture = await house.pay([0])
    await house.fetch("UPDATE captures SET settle_due = now()")
    stop = asyncio.Event()
    running = asyncio.create_task(work(house.runtime, stop))
    assert await house.outcome(capture) == "TICKETS"
    stop.set()
    await asyncio.wait_for(running, 10)
    with refused("seats_taken"):
        await house.seats.claim_seats(house.showtime, BUDI, [0])


async def test_a_worker_whose_reader_ends_by_itself_ends_loudly(house, monkeypatch):
    """A library may leave a cancellation behind that nobody asked for; the worker must not go on without its reader."""

    async def end(reader):
        raise asyncio.CancelledError

    monkeypatch.setattr(FactReader, "run", end)
    with pytest.raises(RuntimeError, match="reader ended"):
        await asyncio.wait_for(work(house.runtime, asyncio.Event()), 10)
