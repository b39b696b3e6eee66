"""What the ledger refuses whatever the program believes: it has the last word."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from tests.ledgers import PRICE_MINOR, as_uuid, eventually

TICKET = """
    INSERT INTO tickets (id, showtime_id, seat_index, seat, tier, booking_id, gateway, session_id, sale_number, subject,
                         price_minor, currency, status, sold_at)
    VALUES ($1, 42, 3, 'S3', 'REGULAR', $2, 'fake', $3, 7, 'anna', 1, 'IDR', $4, now())
"""
REFUND = """
    INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, reason)
    VALUES ($1, $2, 'fake', 's7', NULL, $3, $4, 'test') ON CONFLICT (business_id) DO NOTHING
"""


@pytest.fixture
async def world(world):
    """A ledger with one paid booking of one seat."""
    await world.paid(7, [3])
    return world


@pytest.mark.covers("000.4", "004.36", "001.28")
async def test_a_seat_has_one_live_ticket(world):
    """SOLD or USED once; as many REFUNDED ones as there were (I1)."""
    for number, status in enumerate(("SOLD", "REFUNDED", "REFUNDED")):
        await world.pool.execute(TICKET, uuid4(), as_uuid(7), f"t{number}", status)
    for status in ("SOLD", "USED"):
        with pytest.raises(asyncpg.UniqueViolationError, match="tickets_live_seat"):
            await world.pool.execute(TICKET, uuid4(), as_uuid(7), "other", status)


async def test_refunds_of_a_capture_never_exceed_it(world):
    """Neither by one, nor by several, nor by a changed one; a repeat of the same business id is no refund (I3)."""
    await world.pool.execute(REFUND, uuid4(), "a", PRICE_MINOR - 1, "IDR")
    await world.pool.execute(REFUND, uuid4(), "a", PRICE_MINOR - 1, "IDR")
    with pytest.raises(asyncpg.CheckViolationError, match="refunds of fake s7"):
        await world.pool.execute(REFUND, uuid4(), "b", 2, "IDR")
    with pytest.raises(asyncpg.CheckViolationError):
        await world.pool.execute(REFUND, uuid4(), "b", 1, "USD")
    await world.pool.execute(REFUND, uuid4(), "b", 1, "IDR")
    with pytest.raises(asyncpg.CheckViolationError):
        await world.pool.execute("UPDATE refunds SET amount_minor = amount_minor + 1 WHERE business_id = 'b'")


async def test_two_refunds_at_once_cannot_exceed_their_capture_together(world):
    """Schedule: both transactions have inserted before either commits."""
    async with world.pool.acquire() as one, world.pool.acquire() as two:
        first, second = one.transaction(), two.transaction()
        await first.start()
        await second.start()
        await one.execute(REFUND, uuid4(), "a", PRICE_MINOR, "IDR")
        waiting = asyncio.create_task(two.execute(REFUND, uuid4(), "b", 1, "IDR"))

        async def has_looked():
            return waiting.done() or await one.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")

        await eventually(has_looked)
        await first.commit()
        with pytest.raises(asyncpg.CheckViolationError):
            await waiting
        await second.rollback()


async def test_a_refund_needs_its_capture(world):
    """Money cannot go back that never came."""
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await world.pool.execute(REFUND.replace("s7", "s8"), uuid4(), "a", 1, "IDR")


async def test_an_outcome_and_its_time_come_together(world):
    """An open capture is one that has neither."""
    with pytest.raises(asyncpg.CheckViolationError):
        await world.pool.execute("UPDATE captures SET outcome = 'TICKETS'")


async def test_only_a_refunded_ticket_goes_back_to_stock(world):
    """A live ticket keeps its seat."""
    await world.pool.execute(TICKET, uuid4(), as_uuid(7), "s7", "SOLD")
    with pytest.raises(asyncpg.CheckViolationError):
        await world.pool.execute("UPDATE tickets SET restock_due = now()")


async def test_a_seq_is_applied_once(world):
    """Should two readers ever hold one partition, one of them fails whole."""
    fact = "INSERT INTO facts VALUES (42, 1, 1, 'seats_sold', 's7', now(), '{}', now())"
    await world.pool.execute(fact)
    with pytest.raises(asyncpg.UniqueViolationError):
        await world.pool.execute(fact)
