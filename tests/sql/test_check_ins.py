"""Tickets at the door, each in one transaction: valid once, whatever happens at the same time."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from engine.errors import Refusal
from engine.seats.records import Request
from tests.door import add_ticket
from tests.ledgers import OTHER_SHOWTIME, SHOWTIME
from tests.showtimes import refused


async def use(world, ticket, gate="North", showtime=SHOWTIME, request=None):
    """Check a ticket in."""
    return await world.ledger.check_in(UUID(ticket.id), showtime, gate, "staff", request)


async def outcome(call):
    """Give "used", or the word of the refusal."""
    try:
        await call
    except Refusal as refusal:
        return refusal.code
    return "used"


async def status(world, ticket):
    """Give a ticket's status as it is now."""
    return (await world.ledger.read_ticket(UUID(ticket.id))).status


@pytest.mark.covers("000.9")
async def test_a_ticket_is_used_once(world):
    """The second one at the door learns when and where."""
    ticket = await add_ticket(world.ledger, SHOWTIME)
    used = (await use(world, ticket)).ticket
    assert (used.status, used.gate, used.seat) == ("USED", "North", "A1")
    with pytest.raises(Refusal, match=r"^ticket_used$") as refusal:
        await use(world, ticket, "South")
    assert refusal.value.details == {"used_at_ms": used.used_at_ms, "gate": "North"}
    assert await world.fetch("SELECT gate, checked_by FROM check_ins") == [("North", "staff")]


async def test_of_many_at_once_one_is_let_in(world):
    """Two gates, two scanners each, the same ticket in the same moment."""
    ticket = await add_ticket(world.ledger, SHOWTIME)
    said = await asyncio.gather(*(outcome(use(world, ticket, f"gate {number}")) for number in range(8)))
    assert sorted(said) == ["ticket_used"] * 7 + ["used"]
    assert await world.fetch("SELECT count(*) FROM check_ins") == [(1,)]


async def test_the_ledger_itself_refuses_a_second_check_in(world):
    """Should our own code ever forget to look."""
    ticket = await add_ticket(world.ledger, SHOWTIME)
    await use(world, ticket)
    with pytest.raises(asyncpg.UniqueViolationError, match="check_ins_live"):
        await world.fetch("INSERT INTO check_ins (ticket_id, gate, checked_by) VALUES ($1, 'x', 'x')", UUID(ticket.id))


async def test_a_check_in_waits_for_a_refund_and_sees_it(world):
    """The refund has locked the ticket first; when it is done, nobody is let in."""
    ticket = await add_ticket(world.ledger, SHOWTIME)
    async with world.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("UPDATE tickets SET status = 'REFUNDED' WHERE id = $1", UUID(ticket.id))
            waiting = asyncio.create_task(outcome(use(world, ticket)))
            await until_blocked(world)
        assert await waiting == "ticket_refunded"
    assert await world.fetch("SELECT count(*) FROM check_ins") == [(0,)]


async def test_a_refund_waits_for_a_check_in_and_sees_it(world):
    """The other way around: what refunds SOLD tickets only finds none."""
    ticket = await add_ticket(world.ledger, SHOWTIME)
    async with world.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("SELECT FROM tickets WHERE id = $1 FOR UPDATE", UUID(ticket.id))
            first = asyncio.create_task(outcome(use(world, ticket)))
            await until_blocked(world)
            refund = "UPDATE tickets SET status = 'REFUNDED' WHERE id = $1 AND status = 'SOLD' RETURNING id"
            second = asyncio.create_task(world.fetch(refund, UUID(ticket.id)))
            await until_blocked(world, 2)
        assert (await first, await second) == ("used", [])
    assert await status(world, ticket) == "USED"


async def until_blocked(world, count=1):
    """Wait until so many wait for a lock; asked outside of any transaction, which would see the same each time."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while (await world.fetch(waiting))[0][0] < count:
            await asyncio.sleep(0.005)


async def test_the_wrong_door_says_which_is_right(world):
    """Nothing is used up by it."""
    ticket = await add_ticket(world.ledger, SHOWTIME)
    with pytest.raises(Refusal, match=r"^wrong_showtime$") as refusal:
        await use(world, ticket, showtime=OTHER_SHOWTIME)
    assert refusal.value.details == {"showtime": SHOWTIME, "starts_at_ms": ticket.starts_at_ms}
    assert await status(world, ticket) == "SOLD"


async def test_a_cancelled_showtime_lets_nobody_in(world):
    """Before the worker has come to this ticket, and not for a used one that staff take back either."""
    ticket, used = await add_ticket(world.ledger, SHOWTIME), await add_ticket(world.ledger, SHOWTIME, seat_index=1)
    await use(world, used)
    await world.fetch("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", SHOWTIME)
    with refused("ticket_refunded"):
        await use(world, ticket)
    with refused("ticket_refunded"):
        await world.ledger.undo_check_in(UUID(used.id), "mistake", "staff")
    assert (await status(world, ticket), await status(world, used)) == ("SOLD", "USED")


async def test_a_ticket_that_is_not_there_is_not_found(world):
    """A code may outlive the database that it was made from."""
    for call in (
        world.ledger.read_ticket(uuid4()),
        world.ledger.check_in(uuid4(), SHOWTIME, "North", "staff"),
        world.ledger.undo_check_in(uuid4(), "mistake", "staff"),
    ):
        with refused("not_found"):
            await call


async def test_what_was_taken_back_is_valid_again(world):
    """It is an act with its reason; what was before stays written; a repeat changes nothing."""
    ticket = await add_ticket(world.ledger, SHOWTIME)
    await use(world, ticket)
    for _ in range(2):
        await world.ledger.undo_check_in(UUID(ticket.id), "the wrong person", "boss")
    assert await status(world, ticket) == "SOLD"
    await use(world, ticket, "South")
    assert await world.fetch("SELECT gate, undone_by, undo_reason FROM check_ins ORDER BY id") == [
        ("North", "boss", "the wrong person"),
        ("South", None, None),
    ]
    assert await world.fetch("SELECT actor, verb, subject, reason, details ->> 'gate' FROM acts") == [
        ("boss", "undo_check_in", f"ticket:{ticket.id}", "the wrong person", "North")
    ]


async def test_a_repeated_request_gets_the_first_answer(world):
    """The scanner lost it, and asks again with the same key; another key is another person at the door."""
    ticket, request = await add_ticket(world.ledger, SHOWTIME), Request("key", "body")
    first, again = await use(world, ticket, request=request), await use(world, ticket, request=request)
    assert (first.replayed, again.replayed, again.ticket) == (False, True, first.ticket)
    with refused("ticket_used"):
        await use(world, ticket, request=Request("other", "body"))
