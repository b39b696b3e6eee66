"""Which endpoint is told of what, and in which words."""

from typing import get_args

import msgspec
import pytest

from engine.notifications.spreading import Spreading
from engine.settings import Settings
from engine.webhooks.records import Event, EventType
from tests.ledgers import OTHER_SHOWTIME, PRICE_MINOR, SHOWTIME, booking_id
from tests.sql.webhooks import Told

ALL = get_args(EventType)


@pytest.fixture
async def told(ledger_pool):
    """A ledger with two cinemas and nobody to tell."""
    told = Told(ledger_pool, None)
    await told.begin()
    return told


async def test_an_endpoint_is_told_of_the_types_it_asked_for(told):
    """Once for each announcement, however often that is spread."""
    one = await told.endpoint("booking.confirmed")
    two = await told.endpoint("booking.confirmed", "showtime.cancelled")
    await told.endpoint("refund.manual")
    await told.confirm(1)
    await told.cancel_showtime()
    await told.spread()
    await told.spread(again=True)
    confirmed, cancelled = "booking.confirmed", "showtime.cancelled"
    assert await told.deliveries() == [(one, confirmed), (two, confirmed), (two, cancelled)]


async def test_the_duty_that_spreads_announcements_queues_them(told):
    """In the transaction of the mails; what was spread is not taken again."""
    endpoint = await told.endpoint("booking.confirmed")
    await told.confirm(1)
    spreading = Spreading(told.pool, Settings())
    assert await spreading.spread_announcements() == 1
    assert await spreading.spread_announcements() == 0
    assert await told.deliveries() == [(endpoint, "booking.confirmed")]


async def test_an_endpoint_of_a_cinema_is_told_of_that_cinema_only(told):
    """What belongs to no cinema, such as money of an unknown session, is for those of all cinemas."""
    here = await told.endpoint(*ALL, cinema=1)
    await told.endpoint(*ALL, cinema=2)
    everywhere = await told.endpoint(*ALL)
    await told.confirm(1)
    await told.pay(9, PRICE_MINOR, session="unknown")
    await told.spread()
    rows = await told.deliveries()
    assert rows == [(here, "booking.confirmed"), (everywhere, "booking.confirmed"), (everywhere, "refund.queued")]


async def test_only_what_happens_while_an_endpoint_is_there_and_on_is_sent(told):
    """A new one gets nothing old, one that is off gets nothing, not even later."""
    off = await told.endpoint()
    await told.pool.execute(
        "UPDATE webhook_endpoints SET active = false, off_reason = 'operator', off_at = now() WHERE id = $1", off
    )
    await told.confirm(1)
    await told.endpoint()
    await told.spread()
    await told.pool.execute("UPDATE webhook_endpoints SET active = true, off_reason = NULL, off_at = NULL")
    await told.spread()
    assert await told.deliveries() == []


async def bodies(told):
    """Give the bodies by their types, each read strictly as the document describes it."""
    rows = await told.deliveries("type, event_id, body")
    events = {kind: msgspec.json.decode(body, type=Event) for kind, _, body in rows}
    assert {kind: event.id for kind, event in events.items()} == {kind: f"msg_{name}" for kind, name, _ in rows}
    return {kind: msgspec.to_builtins(event)["data"] for kind, event in events.items()}


async def test_the_body_says_what_was_then(told):
    """Whatever becomes of the booking later, a body is not written anew; it names no person."""
    await told.endpoint(*ALL)
    booking = await told.confirm(1)
    await told.spread()
    await told.pool.execute("UPDATE bookings SET status = 'REFUNDED', status_reason = 'customer'")
    await told.spread()
    (first,) = await told.fetch("SELECT body FROM webhook_deliveries WHERE type = 'booking.confirmed'")
    whole = {"cinema_id": 1, "showtime_id": SHOWTIME, "booking_id": booking, "seats": ["S1", "S2"]}
    whole |= {"amount": 2 * PRICE_MINOR, "currency": "IDR"}
    assert await bodies(told) == {
        "booking.confirmed": whole | {"status": "CONFIRMED"},
        "booking.refunded": whole | {"status": "REFUNDED", "status_reason": "customer"},
    }
    assert first[0].startswith('{"id":"msg_')
    assert "anna" not in first[0]


async def test_the_body_of_a_refund_has_its_own_amount_and_seats(told):
    """Of some tickets of a booking as of money that bought nothing."""
    await told.endpoint(*ALL)
    await told.intend(1, [1, 2], OTHER_SHOWTIME)
    await told.pay(1, 1)
    await told.spread()
    (refund,) = await told.fetch("SELECT id::text FROM refunds")
    money = {"cinema_id": 1, "showtime_id": OTHER_SHOWTIME, "booking_id": booking_id(1, OTHER_SHOWTIME)}
    money |= {"refund_id": refund[0], "reason": "wrong_amount", "amount": 1, "currency": "IDR"}
    assert (await bodies(told))["refund.queued"] == money | {"status": "QUEUED"}
    await told.pool.execute(
        """
        WITH ticket AS (
            INSERT INTO tickets (id, showtime_id, seat_index, seat, tier, booking_id, gateway, session_id, sale_number,
                                 subject, price_minor, currency, status, sold_at)
            SELECT gen_random_uuid(), showtime_id, 2, 'S2', 'REGULAR', id, 'fake', 's1', 1, subject, 1, 'IDR',
                   'REFUNDED', now() FROM bookings RETURNING id
        )
        INSERT INTO refund_tickets SELECT refunds.id, ticket.id, 1 FROM refunds, ticket
        """
    )
    await told.pool.execute("UPDATE refunds SET status = 'SETTLED', due_at = NULL, settled_at = now()")
    await told.cancel_showtime()
    await told.spread()
    told_now = await bodies(told)
    assert told_now["refund.settled"] == money | {"status": "SETTLED", "seats": ["S2"]}
    cancelled = {"cinema_id": 1, "showtime_id": SHOWTIME, "status": "CANCELLED", "status_reason": "fire"}
    assert told_now["showtime.cancelled"] == cancelled
