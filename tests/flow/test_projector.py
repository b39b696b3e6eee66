"""What facts become in the ledger, in whatever order, number and hands they arrive."""

import asyncio
import random

import pytest

from engine.ledger.fact_stream import FactStreams
from engine.seats.keys import partition_key, partition_of
from tests.ledgers import (
    OTHER_SHOWTIME,
    PRICE_MINOR,
    SHOWTIME,
    World,
    booking_id,
    ended_fact,
    eventually,
    fact_of,
    is_delivered,
    numbered,
    reading_facts,
    restocked_fact,
    sold_fact,
)

pytestmark = pytest.mark.one_redis(
    "facts become rows in PostgreSQL; streams are read on every kind in test_fact_reader"
)

PARTITION = partition_of(SHOWTIME)
STREAM = partition_key(PARTITION, "facts")


@pytest.fixture
async def world(pool, redis_client):
    """An empty ledger with two showtimes."""
    world = World(pool, redis_client)
    await world.begin()
    return world


async def test_a_paid_sale_becomes_tickets(world, database_url, redis_url):
    """Tickets carry seat, price, buyer and sale; the money has its outcome, the booking is confirmed (I2)."""
    fact = await world.paid(7, [3, 4])
    await world.append(*numbered([fact]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    tickets = await world.fetch(
        "SELECT seat, subject, price_minor, sale_number, status, session_id FROM tickets ORDER BY 1"
    )
    assert tickets == [(f"S{seat}", "anna", PRICE_MINOR, 7, "SOLD", "s7") for seat in (3, 4)]
    booking = await world.ledger.read_booking(booking_id(7))
    assert (booking.status, booking.status_reason, booking.settling) == ("CONFIRMED", None, False)
    assert await world.ledger.read_outcome("fake", "s7") == "TICKETS"


async def test_an_end_of_a_booking_enters_the_ledger_with_its_seats_and_prices(world, database_url, redis_url):
    """A booking that never was paid enters by the fact that ended it; labels come from the layout, prices from it."""
    await world.append(*numbered([ended_fact(8, [1, 2]), ended_fact(9, [3], kind="booking_cancelled", reason="staff")]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    expired, cancelled = [await world.ledger.read_booking(booking_id(owner)) for owner in (8, 9)]
    assert (expired.status, expired.status_reason, expired.amount_minor) == (
        "EXPIRED",
        "payment_timeout",
        2 * PRICE_MINOR,
    )
    assert [(seat.seat, seat.price_minor) for seat in expired.seats] == [("S1", PRICE_MINOR), ("S2", PRICE_MINOR)]
    assert (cancelled.status, cancelled.status_reason, cancelled.email) == ("CANCELLED", "staff", "anna@example.org")


async def test_the_end_of_a_known_booking_ends_its_payment_session(world, database_url, redis_url):
    """PENDING becomes EXPIRED, and nobody can be sent to an old payment page."""
    await world.intend(8, [1])
    await world.append(*numbered([ended_fact(8, [1])]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    booking = await world.ledger.read_booking(booking_id(8))
    assert (booking.status, booking.payments[0].status) == ("EXPIRED", "EXPIRED")


async def test_a_late_sale_of_an_expired_booking_confirms_it(world, database_url, redis_url):
    """The contract's late payment: from EXPIRED, with the reason `paid_late`."""
    fact = await world.paid(7, [3])
    await world.append(*numbered([ended_fact(7, [3]), fact | {"data": fact["data"] | {"late": True}}]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    booking = await world.ledger.read_booking(booking_id(7))
    assert (booking.status, booking.status_reason) == ("CONFIRMED", "paid_late")


async def test_a_sale_for_a_showtime_cancelled_meanwhile_is_refunded(world, database_url, redis_url):
    """It enters as REFUNDED with its refund, and its seats are due back in stock."""
    fact = await world.paid(7, [3, 4])
    await world.fetch("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", SHOWTIME)
    await world.append(*numbered([fact]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    assert await world.fetch("SELECT DISTINCT status, restock_due IS NULL FROM tickets") == [("REFUNDED", False)]
    assert await world.fetch("SELECT amount_minor, reason FROM refunds") == [(2 * PRICE_MINOR, "showtime_cancelled")]
    booking = await world.ledger.read_booking(booking_id(7))
    assert (booking.status, booking.status_reason) == ("REFUNDED", "showtime_cancelled")
    assert await world.ledger.read_outcome("fake", "s7") == "REFUND"


@pytest.mark.parametrize("reason", ["seats_taken", "hold_changed"])
async def test_a_sale_after_its_money_was_refused_gives_the_seats_back(reason, world, database_url, redis_url):
    """Whoever decided first, the money goes back once, and no live ticket is left without money.

    With `hold_changed` the booking waits for other money, and shows nothing of it.
    """
    fact = await world.paid(7, [3])
    assert await world.ledger.refuse_capture("fake", "s7", reason) == "REFUND"
    await world.append(*numbered([fact]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    assert await world.fetch("SELECT status, restock_due IS NULL FROM tickets") == [("REFUNDED", False)]
    assert await world.fetch("SELECT amount_minor, reason FROM refunds") == [(PRICE_MINOR, reason)]


async def test_a_restock_clears_what_was_due_only_of_its_sale(world, database_url, redis_url):
    """The fact names the sale; another sale of the same seat is not touched (I12)."""
    fact = await world.paid(7, [3])
    await world.ledger.refuse_capture("fake", "s7", "seats_taken")
    await world.append(*numbered([fact, restocked_fact(99, [3]), restocked_fact(7, [4])]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
        assert await world.fetch("SELECT restock_due IS NULL FROM tickets") == [(False,)]
        await world.append(restocked_fact(7, [3], seq=4))
        await world.drained()
    assert await world.fetch("SELECT restock_due IS NULL FROM tickets") == [(True,)]


async def test_a_double_sale_is_refused_by_the_ledger(world, database_url, redis_url):
    """PostgreSQL has the last word: the loser is refunded, a case opened, a rebuild asked, nothing restocked (I1)."""
    winner, loser = await world.paid(7, [3, 4]), await world.paid(8, [4, 5])
    await world.append(*numbered([winner, loser]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    assert await world.fetch("SELECT session_id, seat_index FROM tickets WHERE status = 'SOLD' ORDER BY 2") == [
        ("s7", 3),
        ("s7", 4),
    ]
    assert await world.fetch("SELECT DISTINCT status, restock_due IS NULL FROM tickets WHERE session_id = 's8'") == [
        ("REFUNDED", True)
    ]
    assert await world.fetch("SELECT session_id, amount_minor FROM refunds") == [("s8", 2 * PRICE_MINOR)]
    assert await world.fetch("SELECT kind, details->'seats' FROM cases") == [("double_sale", [4])]
    assert await world.fetch("SELECT showtime_id, automatic FROM rebuilds") == [(SHOWTIME, True)]


@pytest.mark.parametrize("later", [False, True], ids=["one-batch", "later"])
async def test_the_same_sale_under_another_seq_changes_nothing(world, database_url, redis_url, later):
    """A fact that was lost and appended again keeps its business id; its seats are not sold twice."""
    fact = await world.paid(7, [3])
    facts = numbered([fact, dict(fact)])
    async with reading_facts(world, database_url, redis_url):
        if later:
            await world.append(facts.pop(0))
            await world.drained()
        await world.append(*facts)
        await world.drained()
    assert await world.fetch("SELECT count(*) FROM tickets") == [(1,)]
    assert await world.fetch("SELECT seq FROM facts ORDER BY 1") == [(1,), (2,)]
    assert await world.fetch("SELECT count(*) FROM cases") == [(0,)]


async def test_seats_sold_once_more_after_their_refund_go_back_to_stock_again(world, database_url, redis_url):
    """Whoever was stopped between reading the money and selling may sell what was given back meanwhile (I12)."""
    fact = await world.paid(7, [3])
    await world.ledger.refuse_capture("fake", "s7", "seats_taken")
    await world.append(*numbered([fact, restocked_fact(7, [3]), dict(fact)]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    assert await world.fetch("SELECT status, restock_due IS NULL FROM tickets") == [("REFUNDED", False)]
    assert await world.fetch("SELECT count(*) FROM refunds") == [(1,)]


async def history(world):
    """Give a small history of two showtimes: sales, late and refused ones, ends, restocks, a double sale."""
    facts = [
        await world.paid(1, [10, 11]),
        ended_fact(2, [20]),
        await world.paid(3, [20, 21]),
        await world.paid(4, [30], OTHER_SHOWTIME),
        await world.paid(5, [40]),
        restocked_fact(5, [40]),
        await world.paid(6, [40]),
        await world.paid(7, [11, 12]),
        ended_fact(8, [50], OTHER_SHOWTIME, kind="booking_cancelled", reason="customer"),
        await world.paid(9, [51], OTHER_SHOWTIME),
        sold_fact(3, [20, 21]),
    ]
    await world.ledger.refuse_capture("fake", "s5", "seats_taken")
    return numbered(facts)


async def delivered(world, database_url, redis_url, deliveries, *, restarts=0):
    """Deliver facts to readers, one after the other, and give the ledger that comes out."""
    chunks = [deliveries[at :: restarts + 1] for at in range(restarts + 1)]
    for chunk in chunks:
        await world.append(*chunk)
        async with reading_facts(world, database_url, redis_url, gap_ms=60_000):
            if chunk is chunks[-1]:
                await world.drained(SHOWTIME)
                await world.drained(OTHER_SHOWTIME)
            else:
                await asyncio.sleep(random.random() * 0.1)
    return await world.dump()


@pytest.mark.covers("000.6")
async def test_facts_shuffled_doubled_and_moved_between_workers_make_the_same_ledger(world, database_url, redis_url):
    """I10 and I8, over many random deliveries; the seed is printed, so that a failure can be repeated."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    wanted = await delivered(world, database_url, redis_url, await history(world))
    assert [row[:3] for row in wanted["facts"]] == [(SHOWTIME, 1, seq) for seq in range(1, 9)] + [
        (OTHER_SHOWTIME, 1, seq) for seq in range(1, 4)
    ]
    for _ in range(6):
        await world.begin()
        await world.redis.flushall()
        facts = await history(world)
        deliveries = facts + chance.choices(facts, k=chance.randrange(12))
        chance.shuffle(deliveries)
        assert await delivered(world, database_url, redis_url, deliveries, restarts=chance.randrange(3)) == wanted


async def test_a_fact_that_is_ahead_waits_for_the_one_before_it(world, database_url, redis_url):
    """A gap parks the fact: it stays pending in Redis, and nothing of it is in the ledger until the gap closes."""
    first, second = numbered([await world.paid(7, [3]), await world.paid(8, [4])])
    async with reading_facts(world, database_url, redis_url):
        (entry,) = await world.append(second)
        streams = FactStreams(world.redis)
        await eventually(lambda: is_delivered(streams, entry))
        marker = await world.paid(9, [5], OTHER_SHOWTIME)
        await world.append(*numbered([marker]))
        await world.drained(OTHER_SHOWTIME)
        assert await world.fetch("SELECT session_id FROM tickets") == [("s9",)]
        assert (await streams.position(PARTITION)).first_pending == entry
        await world.append(first)
        await world.drained()
    assert await world.fetch("SELECT session_id FROM tickets ORDER BY 1") == [("s7",), ("s8",), ("s9",)]


async def test_a_gap_that_does_not_fill_becomes_a_case(world, database_url, redis_url):
    """Lost facts do not stop their showtime for ever: the gap is filled, a case opened, a rebuild asked."""
    fact = await world.paid(7, [3])
    await world.append(fact | {"seq": 3})
    async with reading_facts(world, database_url, redis_url, gap_ms=100):
        await world.drained()
    assert await world.fetch("SELECT seq, kind FROM facts ORDER BY 1") == [
        (1, "facts_missing"),
        (2, "facts_missing"),
        (3, "seats_sold"),
    ]
    assert await world.fetch("SELECT kind FROM cases") == [("facts_missing",)]
    assert await world.fetch("SELECT showtime_id, automatic FROM rebuilds") == [(SHOWTIME, True)]


POISONS = {
    "a sale that no intent precedes": sold_fact(99, [3]),
    "an unknown kind": fact_of("seats_eaten", "x", {}),
    "data of another shape": fact_of("seats_sold", "s7", {"booking": "no"}),
    "a price that the check-out did not freeze": ended_fact(99, [3])
    | {"data": ended_fact(99, [3])["data"] | {"checkout": '{"subject": "anna", "currency": "IDR", "prices": {}}'}},
    "text that PostgreSQL cannot store": ended_fact(99, [3])
    | {"data": ended_fact(99, [3])["data"] | {"reason": "\x00"}},
    "a number that PostgreSQL cannot store": ended_fact(99, [2**40]),
}


@pytest.mark.parametrize("name", POISONS)
async def test_a_poison_fact_stops_its_showtime_and_nothing_else(name, world, database_url, redis_url):
    """It becomes a case, keeps its seq, asks an operator; facts before, after and elsewhere are applied."""
    before, after = await world.paid(7, [3]), await world.paid(8, [4])
    elsewhere = await world.paid(9, [5], OTHER_SHOWTIME)
    await world.append(*numbered([before, dict(POISONS[name]), after, elsewhere]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
        await world.drained(OTHER_SHOWTIME)
    assert await world.fetch("SELECT session_id FROM tickets ORDER BY 1") == [("s7",), ("s8",), ("s9",)]
    assert await world.fetch("SELECT seq, kind FROM facts WHERE showtime_id = $1 ORDER BY 1", SHOWTIME) == [
        (1, "seats_sold"),
        (2, "poison"),
        (3, "seats_sold"),
    ]
    assert await world.fetch("SELECT kind, showtime_id FROM cases") == [("poison_fact", SHOWTIME)]
    assert await world.fetch("SELECT showtime_id, automatic FROM rebuilds") == [(SHOWTIME, False)]


@pytest.mark.parametrize("change", [{"session": "s8"}, {"seats": [3]}], ids=["another's money", "some of the seats"])
async def test_a_sale_that_is_not_what_was_paid_for_is_poison(change, world, database_url, redis_url):
    """A booking gets all its seats for its own money, or a person looks at it (I2, I3)."""
    fact = await world.paid(7, [3, 4])
    await world.paid(8, [5])
    await world.append(*numbered([fact | {"data": fact["data"] | change}]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    assert await world.fetch("SELECT kind FROM cases") == [("poison_fact",)]
    assert await world.fetch("SELECT count(*) FROM tickets") == [(0,)]


@pytest.mark.parametrize("fields", [{b"x": b"\xff\x00"}, {"showtime": "0", "generation": "1", "seq": "1"}])
async def test_an_entry_of_no_showtime_becomes_a_case(fields, world, database_url, redis_url):
    """Whatever lies in the stream, the reader goes on."""
    await world.redis.xadd(STREAM, fields)
    await world.append(*numbered([await world.paid(7, [3])]))
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
    assert await world.fetch("SELECT kind, showtime_id FROM cases") == [("poison_fact", None)]
    assert await world.fetch("SELECT count(*) FROM tickets") == [(1,)]


async def test_another_fact_under_an_applied_seq_is_noticed(world, database_url, redis_url):
    """Redis lost facts that the ledger has, and counted on from before them: a case, and a rebuild."""
    first, second = await world.paid(7, [3]), await world.paid(8, [4])
    await world.append(first | {"seq": 1})
    async with reading_facts(world, database_url, redis_url):
        await world.drained()
        await world.append(second | {"seq": 1})
        await world.drained()
    assert await world.fetch("SELECT session_id FROM tickets") == [("s7",)]
    assert await world.fetch("SELECT kind FROM cases") == [("fact_conflict",)]
    assert await world.fetch("SELECT showtime_id, automatic FROM rebuilds") == [(SHOWTIME, True)]
