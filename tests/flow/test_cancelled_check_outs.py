"""A check-out that its customer cancels is in the ledger before its seats are free."""

import pytest

from engine.seats.ids import parse_hold_id
from tests.houses import ANNA, open_house
from tests.ledgers import eventually

pytestmark = pytest.mark.one_redis(
    "what is cancelled is decided in PostgreSQL; its script runs on every kind in tests/lua"
)


@pytest.fixture
async def house(settings, small):
    """The engine without a worker."""
    async with open_house(settings, small) as house:
        yield house


@pytest.mark.parametrize("paying", [False, True], ids=["never paid", "with a session"])
async def test_a_cancelled_check_out_can_be_read_while_no_worker_runs(house, paying):
    """Seats, buyer and the customer's own words; what the worker reads of it later changes nothing."""
    hold = await house.check_out([0, 1])
    if paying:
        hold = await house.seats.open_payment(parse_hold_id(hold.id), ANNA)
        await house.ledger.record_intent(await house.intend(hold))
    bookings = house.runtime.orders.bookings
    cancelled = await bookings.cancel(hold.id, ANNA, comment="ill")
    before = await rows(house)
    assert len(before) == 2
    read = await bookings.read_booking(hold.id, ANNA)
    assert (read.status, read.status_reason, read.comment) == ("CANCELLED", "customer", "ill")
    assert (read.email, read.seats, read.currency) == ("a@example.org", cancelled.seats, "IDR")
    assert await house.map() == (set(), set(), set())
    async with house.worker():
        await eventually(lambda: told(house))
    assert await rows(house) == before


async def rows(house):
    """Give the bookings and their seats as the ledger has them."""
    return await house.fetch("SELECT b, s FROM bookings b JOIN booking_seats s ON s.booking_id = b.id ORDER BY s")


async def told(house):
    """Whether the end of the booking has come as a fact."""
    return await house.fetch("SELECT FROM facts WHERE kind = 'booking_cancelled'")
