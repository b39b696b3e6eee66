"""Money that comes when the booking is over: the same seats if all are free, else all of it back. Never silence."""

import asyncio

import pytest

from tests.flow.town import until

pytestmark = pytest.mark.one_redis("late sales are refused and made on every kind in tests/lua")

PRICE = 5_000_000


async def lapsed(town, buyer, *seats):
    """Let a booking with a begun payment lapse; give showtime, booking and payment."""
    showtime = await town.open_showtime(payment_ttl_s=1)
    booking, payment = await buyer.begin(showtime, *seats)
    await asyncio.sleep(1.1)
    assert (await buyer.read(booking))["status"] == "EXPIRED"
    return showtime, booking, payment


async def pay_late(town, payment):
    """Tell of the money twice, which must not matter."""
    for _ in range(2):
        answer = await town.send_event("success", payment)
        assert (answer.status_code, answer.json()) == (200, {"status": "processed"}), answer.text


async def refunds_of(town, booking):
    """Give amount and reason of a booking's refunds."""
    rows = await town.fetch("SELECT amount_minor, reason FROM refunds WHERE booking_id = $1", booking["id"])
    return [(row["amount_minor"], row["reason"]) for row in rows]


@pytest.mark.covers("004.27")
@pytest.mark.parametrize("written", [False, True], ids=["at-once", "after-the-ledger-said-expired"])
async def test_late_money_gets_the_same_seats_while_they_are_free(town, written):
    """EXPIRED -> CONFIRMED with the reason paid_late, whether the end was written already or not."""
    async with town.customer() as buyer:
        showtime, booking, payment = await lapsed(town, buyer, "A1", "A2")
        if written:
            sql = "SELECT 1 FROM bookings WHERE id = $1 AND status = 'EXPIRED'"
            await until(lambda: town.fetch(sql, booking["id"]), "the end of the booking in the ledger")
        await pay_late(town, payment)
        paid = await buyer.read(booking)
    assert (paid["status"], paid["status_reason"]) == ("CONFIRMED", "paid_late")
    assert [ticket["seat"] for ticket in paid["tickets"]] == ["A1", "A2"]
    assert await refunds_of(town, booking) == []
    assert (await town.seat_statuses(showtime))["A1"] == "SOLD"


@pytest.mark.parametrize("others", ["hold", "ticket"])
async def test_late_money_goes_back_when_one_seat_has_gone(town, others):
    """One of two seats is somebody else's: all of the money is refunded, and the other seat stays free."""
    async with town.customer() as buyer, town.customer() as other:
        showtime, booking, payment = await lapsed(town, buyer, "A1", "A2")
        if others == "hold":
            await other.claim(showtime, "A2")
        else:
            _, their_payment = await other.begin(showtime, "A2")
            await pay_late(town, their_payment)
        await pay_late(town, payment)
        shown = await buyer.read(booking)
    assert shown["status"] == "REFUNDED"
    assert (shown["refund"]["amount"], shown["refund"]["reason"]) == (2 * PRICE, "seats_taken")
    assert await refunds_of(town, booking) == [(2 * PRICE, "seats_taken")]
    statuses = await town.seat_statuses(showtime)
    assert (statuses["A1"], statuses["A2"]) == ("AVAILABLE", "LOCKED" if others == "hold" else "SOLD")


async def test_money_for_a_cancelled_booking_always_goes_back(town):
    """The customer had given the seats back: they stay free, and the money is refunded."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        await buyer.cancel(booking)
        await pay_late(town, payment)
        shown = await buyer.read(booking)
    assert (shown["status"], shown["tickets"]) == ("CANCELLED", [])
    assert await refunds_of(town, booking) == [(PRICE, "booking_cancelled")]
    assert (await town.seat_statuses(showtime))["A1"] == "AVAILABLE"


async def test_late_money_for_a_cancelled_showtime_goes_back(town):
    """A showtime that is cancelled never sells again."""
    async with town.customer() as buyer:
        showtime, booking, payment = await lapsed(town, buyer, "A1")
        await town.fetch("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", showtime)
        await pay_late(town, payment)
        shown = await buyer.read(booking)
    assert shown["status"] == "REFUNDED"
    assert await refunds_of(town, booking) == [(PRICE, "showtime_cancelled")]


async def test_the_late_card_of_the_gateway_is_settled_too(town):
    """Through the page: the session expires first, then the money comes; the customer ends with tickets."""
    showtime = await town.open_showtime(payment_ttl_s=1)
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        await buyer.client.post(payment["payment_url"] + "/pay", data={"card": "4000 0000 0000 0044"})
        paid = await buyer.until(booking, "CONFIRMED")
    assert paid["status_reason"] == "paid_late"
