"""A purchase from the first click to the ticket, through API, worker and fake gateway as processes of their own."""

import pytest

from tests.flow.town import SHOP_ORIGIN

PREMIUM = 7_500_000


@pytest.mark.covers("000.1", "000.6", "000.13", "000.15", "002.7", "001.10", "001.11", "001.12", "001.13")
@pytest.mark.covers("001.29", "001.30", "004.7", "004.10", "004.11", "004.13", "004.14", "004.15", "004.19")
@pytest.mark.covers("004.22", "004.23")
async def test_a_customer_buys_two_seats_on_the_gateways_page(town):
    """Register, claim, check out, pay by card: CONFIRMED, SOLD for everybody, and a full row for each ticket."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        registered = await buyer.call(
            "POST",
            "/auth/register",
            201,
            json={"email": "sari@example.com", "password": "correct horse battery", "name": "Sari"},
        )
        buyer.client.headers["Authorization"] = f"Bearer {registered['access_token']}"
        hold = await buyer.claim(showtime, "C3", "C4")

        booking = await buyer.check_out(hold)
        assert (booking["id"], booking["status"]) == (hold["id"], "PENDING")
        assert (booking["movie"], booking["cinema"], booking["auditorium"]) == ("The Test", "Test", "One")
        assert [
            (seat["seat"], seat["row"], seat["number"], seat["tier"], seat["price"]) for seat in booking["seats"]
        ] == [
            ("C3", "C", "3", "PREMIUM", PREMIUM),
            ("C4", "C", "4", "PREMIUM", PREMIUM),
        ]
        assert (booking["amount"], booking["currency"]) == (2 * PREMIUM, "IDR")
        assert 890_000 < booking["expires_in_ms"] <= 900_000
        assert booking["actions"] == ["pay", "cancel"]
        assert booking["email"] == "sari@example.com"

        payment = await buyer.pay(booking, return_url=f"{SHOP_ORIGIN}/thanks")
        assert payment["session_id"].startswith("sess_")
        assert (payment["status"], payment["amount"]) == ("PENDING", 2 * PREMIUM)
        page = await buyer.client.get(payment["payment_url"])
        assert "IDR 150,000.00" in page.text
        paid = await buyer.client.post(payment["payment_url"] + "/pay", data={"card": "4242 4242 4242 4242"})
        assert "Payment received" in paid.text

        # The page answers after the webhook did, so the first look finds the end: CONFIRMED, never "almost".
        confirmed = await buyer.read(booking)
        assert confirmed["status"] == "CONFIRMED"
        assert (confirmed["payment"]["status"], confirmed["payment"]["session_id"]) == (
            "SUCCESS",
            payment["session_id"],
        )
        assert confirmed["actions"] == ["refund"]
        tickets = await buyer.call("GET", f"/bookings/{booking['id']}/tickets", 200)
        assert [ticket["seat"] for ticket in tickets["items"]] == ["C3", "C4"]
        assert [item["id"] for item in (await buyer.call("GET", "/me/bookings", 200))["items"]] == [booking["id"]]

    statuses = await town.seat_statuses(showtime)
    assert {seat for seat, status in statuses.items() if status == "SOLD"} == {"C3", "C4"}
    rows = await town.fetch(
        "SELECT *, now() - sold_at < interval '1 minute' AS fresh FROM tickets WHERE booking_id = $1 ORDER BY seat",
        booking["id"],
    )
    assert [
        (row["session_id"], row["seat"], row["subject"], row["price_minor"], row["status"], row["fresh"])
        for row in rows
    ] == [(payment["session_id"], seat, registered["user"]["id"], PREMIUM, "SOLD", True) for seat in ("C3", "C4")]


@pytest.mark.covers("004.16")
async def test_a_simulated_payment_is_confirmed_when_the_call_returns(town):
    """The test door answers after the webhook did, so nothing has to be waited for."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        path = f"/payments/simulate/{payment['session_id']}"
        simulated = await buyer.call("POST", path, 200, json={"outcome": "success"})
        assert simulated["webhook_status"] == 200
        assert (await buyer.read(booking))["status"] == "CONFIRMED"
        await buyer.call("POST", path, 409, json={"outcome": "failed"})
        await buyer.call("POST", path, 422, json={"outcome": "maybe"})
        await buyer.call("POST", "/payments/simulate/sess_unknown", 404, json={"outcome": "success"})


@pytest.mark.covers("004.15", "000.14", "001.15")
async def test_a_declined_card_leaves_the_seats_to_the_customer_who_tries_again(town):
    """The payment is FAILED with a reason, the booking still PENDING; the second session pays."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        await buyer.client.post(payment["payment_url"] + "/pay", data={"card": "4000 0000 0000 9995"})
        pending = await buyer.read(booking)
        assert (pending["status"], pending["payment"]["status"]) == ("PENDING", "FAILED")
        assert pending["payment"]["failure"] == {"code": "insufficient_funds", "retryable": True}
        assert pending["payment"]["attempts_left"] == 2
        again = await buyer.pay(booking)
        assert again["session_id"] != payment["session_id"]
        await buyer.client.post(again["payment_url"] + "/pay", data={"card": "4242424242424242"})
        assert (await buyer.read(booking))["status"] == "CONFIRMED"
        history = await buyer.call("GET", f"/bookings/{booking['id']}/payments", 200)
        assert [item["status"] for item in history["items"]] == ["FAILED", "SUCCESS"]


@pytest.mark.covers("002.13", "000.16", "004.27", "004.28")
async def test_a_booking_is_cancelled_before_its_payment_without_a_refund(town):
    """Its seats are free at once for somebody else; a repeat gives the same; paid bookings are not cancellable."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer, town.customer() as other:
        booking, _ = await buyer.begin(showtime, "A1", "A2")
        cancelled = await buyer.cancel(booking)
        assert (cancelled["status"], cancelled["status_reason"], cancelled["refund"]) == ("CANCELLED", "customer", None)
        assert (await buyer.cancel(booking))["status"] == "CANCELLED"
        assert (await buyer.read(booking))["status"] == "CANCELLED"
        assert (await buyer.pay(booking, status=409))["code"] == "not_payable"

        theirs, payment = await other.begin(showtime, "A1", "A2")
        await other.call("POST", f"/payments/simulate/{payment['session_id']}", 200, json={"outcome": "success"})
        assert (await other.cancel(theirs, status=409))["code"] == "not_cancellable"
        assert (await other.pay(theirs, status=409))["code"] == "already_paid"
    assert await town.fetch("SELECT 1 FROM refunds WHERE booking_id = $1", booking["id"]) == []


async def test_an_unpaid_booking_is_cancelled_and_can_be_read_as_such(town):
    """A booking that only Redis knew is written to the ledger by its end, and read from there at once."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking = await buyer.check_out(await buyer.claim(showtime, "A1"))
        assert (await buyer.cancel(booking))["status"] == "CANCELLED"
        assert (await buyer.read(booking))["status"] == "CANCELLED"
        await buyer.claim(showtime, "A1")
