"""Working a cancellation off between Redis and the ledger, with each step where something may be lost."""

import pytest

from engine.cancelling import Cancelling, close_showtime
from engine.errors import Refusal, Unavailable
from engine.seats.ids import parse_hold_id
from engine.seats.keys import showtime_key
from tests.houses import ANNA, BUDI, open_house
from tests.ledgers import eventually
from tests.showtimes import refused

pytestmark = pytest.mark.one_redis("the scripts of a cancellation run on every kind in tests/lua")


@pytest.fixture
async def house(settings, small):
    """The engine without a worker: what it would do is called by the tests."""
    async with open_house(settings, small) as house:
        house.cancelling = Cancelling(house.ledger, house.seats)
        yield house


async def cancel(house):
    """Decide, as an API does that dies before it can tell Redis."""
    return await house.ledger.cancel_showtime("boss", house.showtime, "Storm")


async def work_off(house):
    """Do everything that is due now, as a worker would from second to second."""
    await house.fetch("UPDATE cancellations SET due_at = now() WHERE due_at IS NOT NULL")
    await house.cancelling.work_off_cancellations()
    while await house.duties.restock_seats():
        pass


async def is_done(house):
    """Go on, and say whether all is done."""
    await work_off(house)
    return (await house.ledger.read_cancellation(house.showtime)).done_at_ms is not None


async def refunds(house):
    """Give what is owed."""
    return await house.fetch("SELECT business_id, amount_minor FROM refunds")


async def test_a_showtime_that_redis_was_not_told_of_is_closed_by_the_worker(house):
    """The API died behind the commit: what was claimed since ends, and every seat is back."""
    async with house.worker():
        sold = await house.ticketed([0, 1])
        await cancel(house)
        late = await house.seats.claim_seats(house.showtime, BUDI, [5])
        await eventually(lambda: is_done(house))
        with refused("showtime_closed"):
            await house.seats.claim_seats(house.showtime, BUDI, [6])
        with refused("hold_expired"):
            await house.seats.read_hold(parse_hold_id(late.id), BUDI)
        assert await house.map() == (set(), set(), set())
    assert await refunds(house) == [(f"cancelled:fake:{sold.session_id}", sold.amount_minor)]


async def test_owners_learn_of_it_before_the_worker_comes(house):
    """A booking with a payment and one without are CANCELLED for whoever reads them; a hold is gone."""
    reading = house.runtime.orders.bookings.read_booking
    checked_out, hold = await house.check_out([0], ANNA), await house.seats.claim_seats(house.showtime, BUDI, [1])
    begun = await house.pay([2], "guest:rina")
    await house.fetch("DELETE FROM captures")
    await cancel(house)
    await close_showtime(house.ledger, house.seats, house.showtime)
    for booking_id, subject in ((checked_out.id, ANNA), (begun.booking_id, "guest:rina")):
        booking = await reading(booking_id, subject)
        assert (booking.status, booking.status_reason, booking.actions) == ("CANCELLED", "showtime_cancelled", ())
    with pytest.raises(Refusal) as gone:
        await reading(hold.id, BUDI)
    assert (gone.value.code, gone.value.details) == ("booking_expired", {"showtime_status": "CANCELLED"})
    assert await house.runtime.orders.belongings.live_holds(ANNA) == []
    await house.seats.end_holds(house.showtime)
    booking = await reading(begun.booking_id, "guest:rina")
    assert (booking.status, booking.status_reason) == ("CANCELLED", "showtime_cancelled")


async def test_the_end_of_an_overdue_booking_is_left_to_the_cancellation(house):
    """Its hold ended with the showtime, not for want of payment."""
    begun = await house.pay([2], ANNA)
    await house.fetch("DELETE FROM captures")
    await house.fetch("UPDATE bookings SET expires_at = now() - interval '1 hour'")
    await cancel(house)
    await close_showtime(house.ledger, house.seats, house.showtime)
    await house.seats.end_holds(house.showtime)
    await house.duties.expire_bookings()
    assert (await house.ledger.read_booking(begun.booking_id)).status == "PENDING"
    await house.cancelling.work_off_cancellations()
    assert (await house.ledger.read_booking(begun.booking_id)).status == "CANCELLED"


async def test_a_sale_that_the_ledger_has_not_seen_ends_in_one_refund(house):
    """Schedule: sold in Redis, cancelled, worked off, and only then is the fact of the sale read."""
    capture = await house.sell([0, 1])
    await cancel(house)
    await work_off(house)
    assert await refunds(house) == []
    async with house.worker():
        assert await house.outcome(capture) == "REFUND"
        await eventually(lambda: is_done(house))
        assert await house.map() == (set(), set(), set())
    assert await refunds(house) == [(f"capture:fake:{capture.session_id}", capture.amount_minor)]


async def test_money_that_waits_for_its_sale_goes_back(house):
    """Schedule: the money is durable, its process dies before the sale; cancelled; then it is settled."""
    capture = await house.pay([0, 1])
    await cancel(house)
    await work_off(house)
    await house.fetch("UPDATE captures SET settle_due = now()")
    await house.duties.settle_captures()
    async with house.worker():
        await eventually(lambda: is_done(house))
    assert await house.fetch("SELECT business_id, reason FROM refunds") == [
        (f"capture:fake:{capture.session_id}", "showtime_cancelled")
    ]
    ((status, reason),) = await house.fetch("SELECT status, status_reason FROM bookings")
    assert (status in ("CANCELLED", "REFUNDED"), reason) == (True, "showtime_cancelled")


@pytest.mark.parametrize("lost", ["before", "between"])
async def test_a_cancellation_ends_without_the_memory_of_redis(house, lost):
    """Nothing is left to restock there: a load finds the seats free, and the showtime closed."""
    async with house.worker():
        await house.ticketed([0, 1])
        await cancel(house)
        if lost == "between":
            await house.cancelling.work_off_cancellations()
        await house.runtime.redis.flushall()
        await eventually(lambda: is_done(house))
        assert await house.map() == (set(), set(), set())
        with refused("showtime_closed"):
            await house.seats.claim_seats(house.showtime, BUDI, [6])
    assert len(await refunds(house)) == 1


async def test_money_does_not_wait_for_redis(house, monkeypatch):
    """Redis is away: refunds are owed all the same, and the cancellation is done once Redis was told."""
    async with house.worker():
        await house.ticketed([0])

        async def away(*_):
            raise Unavailable("redis_unavailable")

        with monkeypatch.context() as patch:
            patch.setattr(house.seats, "close_showtime", away)
            patch.setattr(house.seats, "end_holds", away)
            await cancel(house)
            assert not await is_done(house)
            assert len(await refunds(house)) == 1
        await eventually(lambda: is_done(house))


async def test_money_does_not_wait_for_a_showtime_that_no_script_can_read(house):
    """What Redis has is broken in a way that no restore is told of: refunds are owed all the same."""
    async with house.worker():
        await house.ticketed([0])
        await cancel(house)
        await house.runtime.redis.hset(showtime_key(house.showtime, "meta"), "policy", b"x")
        assert not await is_done(house)
        assert len(await refunds(house)) == 1
