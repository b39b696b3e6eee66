"""A booking whose money is being settled keeps its seats, whatever else the gateway tells meanwhile."""

import json
import time
from uuid import uuid4

import pytest

from engine.errors import Unavailable
from engine.ledger.records import GatewayEvent
from engine.orders.gateways.signatures import sign
from engine.seats.ids import parse_hold_id
from tests.flow.conftest import WEBHOOK_SECRET
from tests.houses import ANNA, open_house

pytestmark = pytest.mark.one_redis(
    "what an event leads to is decided in PostgreSQL; its scripts run on every kind in tests/lua"
)


@pytest.fixture
async def house(settings, small):
    """The engine without a worker."""
    async with open_house(settings, small) as house:
        yield house


def event_of(intent, kind):
    """Give an event of a session as the ledger takes it."""
    return GatewayEvent(
        gateway="fake",
        event_id=uuid4().hex,
        type=f"payment.{kind}",
        session_id=intent.session_id,
        amount_minor=intent.amount_minor,
        currency="IDR",
        body={},
    )


async def tell(house, intent, kind):
    """Let an event of a session come in from the gateway."""
    event = {"id": uuid4().hex, "type": f"payment.{kind}", "session_id": intent.session_id}
    body = json.dumps(event | {"amount": intent.amount_minor, "currency": "IDR"}).encode()
    headers = {"X-Seatlock-Signature": sign(WEBHOOK_SECRET, body, int(time.time()))}
    return await house.runtime.orders.payments.handle_event(headers, body, time.time())


async def two_sessions(house):
    """Check seats 0 and 1 out and open two payment sessions, the first of which has failed; gives hold and intents."""
    hold = await house.check_out([0, 1])
    await house.seats.open_payment(parse_hold_id(hold.id), ANNA)
    older, newer = await house.intend(hold), await house.intend(hold)
    await house.ledger.record_intent(older)
    await house.ledger.record_event(event_of(older, "failed"))
    await house.ledger.record_intent(newer)
    return hold, older, newer


@pytest.mark.parametrize("kind", ["expired", "failed"])
async def test_the_end_of_the_newest_session_leaves_money_that_is_being_settled_its_seats(house, kind):
    """Schedule: the older session is paid, its process dies before the sale; then the newer session ends."""
    hold, older, newer = await two_sessions(house)
    assert (await house.ledger.record_event(event_of(older, "success"))).verdict == "sell"
    await tell(house, newer, kind)
    kept = await house.seats.read_hold(parse_hold_id(hold.id), ANNA)
    assert (kept.seats, kept.payment_open) == ((0, 1), True)
    async with house.worker():
        await house.fetch("UPDATE captures SET settle_due = now()")
        await house.duties.settle_captures()
        assert await house.runtime.outcomes.wait("fake", older.session_id) == "TICKETS"
    booking = await house.ledger.read_booking(hold.id)
    assert (booking.status, booking.status_reason) == ("CONFIRMED", None)


async def test_no_seat_is_sold_for_money_that_the_ledger_does_not_have(house, monkeypatch):
    """The ledger cannot take the money down: the gateway asks again, and until then no seat is sold for it."""
    hold = await house.check_out([0, 1])
    await house.seats.open_payment(parse_hold_id(hold.id), ANNA)
    intent = await house.intend(hold)
    await house.ledger.record_intent(intent)

    async def fail(_):
        raise Unavailable("ledger_unavailable")

    monkeypatch.setattr(house.ledger, "record_event", fail)
    with pytest.raises(Unavailable):
        await tell(house, intent, "success")
    assert await house.map() == (set(), {0, 1}, set())


async def test_a_doubled_failure_does_not_open_the_seats_of_the_next_session(house):
    """Schedule: A fails; B marks the seats as being paid for; A's failure comes again; only then is B in the ledger."""
    hold = await house.check_out([0, 1])
    hold_id = parse_hold_id(hold.id)
    await house.seats.open_payment(hold_id, ANNA)
    first = await house.intend(hold)
    await house.ledger.record_intent(first)
    await tell(house, first, "failed")
    closed = await house.seats.read_hold(hold_id, ANNA)
    assert not closed.payment_open
    await house.seats.open_payment(hold_id, ANNA)
    await tell(house, first, "failed")
    assert (await house.seats.read_hold(hold_id, ANNA)).payment_open
    second = await house.intend(hold)
    await house.ledger.record_intent(second)
    await tell(house, second, "failed")
    again = await house.seats.read_hold(hold_id, ANNA)
    assert (again.payment_open, again.deadline_ms >= closed.deadline_ms) == (False, True)


async def test_money_that_comes_while_a_session_expires_keeps_its_seats(house, monkeypatch):
    """Schedule: the expiry was judged; before the booking ends the older session's money becomes durable."""
    hold, older, newer = await two_sessions(house)
    expire = house.ledger.expire_booking

    async def pay_first(*args):
        await house.ledger.record_event(event_of(older, "success"))
        return await expire(*args)

    monkeypatch.setattr(house.ledger, "expire_booking", pay_first)
    await tell(house, newer, "expired")
    assert (await house.seats.read_hold(parse_hold_id(hold.id), ANNA)).seats == (0, 1)


async def test_a_repeat_frees_the_seats_that_the_first_handling_did_not(house):
    """Schedule: the process died between the ledger's end of the booking and the release of its hold."""
    hold = await house.check_out([0, 1])
    intent = await house.intend(hold)
    await house.ledger.record_intent(intent)
    await house.ledger.record_event(event_of(intent, "expired"))
    assert await house.ledger.expire_booking(hold.id)
    await tell(house, intent, "expired")
    assert await house.map() == (set(), set(), set())


@pytest.mark.parametrize("kind", ["expired", "failed"])
async def test_events_of_a_show_that_has_left_redis_are_processed(house, kind):
    """A gateway that was away for days is told 200: nothing of the hold is left to follow."""
    hold = await house.check_out([0, 1])
    intent = await house.intend(hold)
    await house.ledger.record_intent(intent)
    await house.fetch(
        "UPDATE showtimes SET starts_at = now() - interval '3 days', ends_at = now() - interval '25 hours', "
        "sales_open_at = now() - interval '4 days', sales_stop_at = now() - interval '3 days'"
    )
    await house.runtime.redis.flushall()
    assert (await tell(house, intent, kind)).verdict == f"payment_{kind}"
