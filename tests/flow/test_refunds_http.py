"""Tickets given back over HTTP, through the worker and the gateway, and what operators see of it."""

from uuid import uuid4

import pytest

from tests.flow.town import until

pytestmark = pytest.mark.one_redis("a restock frees its own sale on every kind in tests/lua")

PRICE = 5_000_000


async def buy(town, buyer, *seats, refund_tiers="2h:50"):
    """Pay for seats at the gateway; gives showtime and booking."""
    showtime = await town.open_showtime(refund_tiers=refund_tiers)
    booking, payment = await buyer.begin(showtime, *seats)
    await buyer.call("POST", f"/payments/simulate/{payment['session_id']}", 200, json={"outcome": "success"})
    return showtime, await buyer.until(booking, "CONFIRMED")


async def settled(buyer, booking):
    """Give the booking once its money is back."""

    async def look():
        found = await buyer.read(booking)
        return found if found["refund"]["status"] == "SETTLED" else None

    return await until(look, "the money back")


@pytest.mark.covers("000.9", "001.21", "002.11", "002.12", "004.25", "004.33")
async def test_a_customer_gives_tickets_back(town):
    """Quote, one of two tickets, then the other: amounts and words for both sides, seats free, money at the gateway."""
    async with town.customer() as buyer, town.customer() as other:
        showtime, booking = await buy(town, buyer, "A1", "A2")
        assert booking["actions"] == ["refund"]
        path, tickets = f"/bookings/{booking['id']}", [ticket["id"] for ticket in booking["tickets"]]
        quote = await buyer.call("GET", f"{path}/refund-quote?tickets={tickets[0]}", 200)
        assert (quote["amount"], quote["currency"], quote["percent"], quote["rule"]) == (PRICE // 2, "IDR", 50, "2h:50")
        assert [(one["id"], one["seat"], one["amount"]) for one in quote["tickets"]] == [(tickets[0], "A1", PRICE // 2)]
        assert (await buyer.call("GET", f"{path}/refund-quote", 200))["amount"] == PRICE
        await other.call("GET", f"{path}/refund-quote", 404)
        await other.call("POST", f"{path}/refunds", 404, json={"reason": "mine"})

        asked = {"reason": "We are ill", "tickets": tickets[:1], "expected_amount": PRICE}
        changed = await buyer.call("POST", f"{path}/refunds", 409, json=asked)
        assert (changed["code"], changed["amount"]) == ("quote_changed", PRICE // 2)
        asked["expected_amount"] = PRICE // 2
        done = await buyer.call("POST", f"{path}/refunds", 202, json=asked)
        assert (done["refund"]["amount"], done["refund"]["reason"], done["refund"]["comment"]) == (
            PRICE // 2, "customer", "We are ill",
        )  # fmt: skip
        assert done["refund"]["tickets"] == tickets[:1]
        assert (done["booking"]["status"], [one["status"] for one in done["booking"]["tickets"]]) == (
            "CONFIRMED", ["REFUNDED", "SOLD"],
        )  # fmt: skip
        # Redis answers, so the seat is free before the customer reads this.
        statuses = await town.seat_statuses(showtime)
        assert (statuses["A1"], statuses["A2"]) == ("AVAILABLE", "SOLD")
        await other.claim(showtime, "A1")

        done = await buyer.call("POST", f"{path}/refunds", 202, json={"reason": "still ill"})
        assert (done["booking"]["status"], done["booking"]["status_reason"]) == ("REFUNDED", "customer")
        again = await buyer.call("POST", f"{path}/refunds", 409, json={"reason": "once more"})
        assert (again["code"], again["why"], again["booking_status"]) == ("not_refundable", "ended", "REFUNDED")
        booking = await settled(buyer, booking)
    assert (booking["refund"]["amount"], booking["refund"]["comment"]) == (PRICE, "still ill")
    assert [refund["settled_at"] is not None for refund in booking["refunds"]] == [True, True]
    async with town.client({"Authorization": f"Bearer {town.token(subject='boss', role='admin')}"}) as admin:
        for refund in booking["refunds"]:
            seen = (await admin.get(f"/admin/refunds/{refund['id']}")).json()
            assert (seen["status"], seen["comment"], seen["amount"]) == ("SETTLED", refund["comment"], PRICE // 2)
            assert [one["outcome"] for one in seen["history"]] == ["SETTLED"]
            assert [one["amount"] for one in seen["tickets"]] == [PRICE // 2]


@pytest.mark.covers("002.12", "002.13")
async def test_what_is_not_paid_or_too_late_is_not_refunded(town):
    """Before the payment one cancels, which is another act; near the start nothing goes back."""
    async with town.customer() as buyer:
        showtime = await town.open_showtime()
        for paying in (False, True):
            booking = await buyer.check_out(await buyer.claim(showtime, "B1" if paying else "B2"))
            if paying:
                await buyer.pay(booking)
            refused = await buyer.call("POST", f"/bookings/{booking['id']}/refunds", 409, json={"reason": "x"})
            assert (refused["code"], refused["why"], refused["booking_status"]) == (
                "not_refundable", "not_paid", "PENDING",
            )  # fmt: skip
            cancelled = await buyer.cancel(booking)
            assert (cancelled["refund"], cancelled["comment"]) == (None, "changed my mind")
            assert (await buyer.read(booking))["comment"] == "changed my mind"
        _, booking = await buy(town, buyer, "A1", refund_tiers="0h:0")
        refused = await buyer.call("GET", f"/bookings/{booking['id']}/refund-quote", 409)
        assert (refused["code"], refused["why"]) == ("not_refundable", "too_late")
        strange = await buyer.call("GET", f"/bookings/{booking['id']}/refund-quote?tickets={uuid4()}", 422)
        assert strange["errors"][0]["pointer"] == "?tickets"
        body = {"reason": "x", "tickets": [str(uuid4())]}
        strange = await buyer.call("POST", f"/bookings/{booking['id']}/refunds", 422, json=body)
        assert strange["errors"][0]["pointer"] == "/tickets/0"


@pytest.mark.covers("001.24", "001.38")
async def test_a_refund_that_needs_a_hand(town):
    """Listed by status and cinema, with every error; tried again, then settled by a manager with a note."""
    async with town.customer() as buyer:
        _, booking = await buy(town, buyer, "A1")
        done = await buyer.call("POST", f"/bookings/{booking['id']}/refunds", 202, json={"reason": "flu"})
        refund = done["refund"]["id"]
        await settled(buyer, booking)
        spoil = "UPDATE refunds SET status = 'MANUAL', settled_at = NULL, failure_code = 'closed' WHERE id = $1"
        await town.fetch(spoil, refund)
        (row,) = await town.fetch("SELECT cinema_id FROM refund_records WHERE id = $1", refund)
        cinema = row["cinema_id"]
        roles = {
            "staff": {"role": "staff", "cinemas": frozenset({cinema})},
            "manager": {"role": "staff", "cinemas": frozenset({cinema}), "managed": frozenset({cinema})},
            "stranger": {"role": "staff", "cinemas": frozenset({99}), "managed": frozenset({99})},
        }

        async def call(role, method, path, **options):
            token = town.token(subject=role, **roles[role])
            async with town.client({"Authorization": f"Bearer {token}"}) as client:
                return await client.request(method, f"/admin/refunds{path}", **options)

        listed = (await call("staff", "GET", "?status=MANUAL&limit=200")).json()["items"]
        assert [one["failure_code"] for one in listed if one["id"] == refund] == ["closed"]
        assert (await call("staff", "GET", f"?cinema={cinema}&limit=1")).json()["next_cursor"]
        assert (await call("stranger", "GET", "")).json()["items"] == []
        assert (await call("stranger", "GET", f"?cinema={cinema}")).status_code == 403
        assert (await call("staff", "GET", "?status=LOST")).json()["errors"][0]["pointer"] == "?status"
        assert (await call("stranger", "GET", f"/{refund}")).status_code == 403
        assert (await call("staff", "GET", f"/{uuid4()}")).status_code == 404
        assert (await call("staff", "GET", "/nonsense")).status_code == 404

        retried = await call("staff", "POST", f"/{refund}/retry", json={"reason": "account is open again"})
        assert (retried.status_code, retried.json()["status"]) == (200, "QUEUED"), retried.text
        await settled(buyer, booking)
        early = await call("staff", "POST", f"/{refund}/retry")
        assert (early.status_code, early.json()["code"], early.json()["refund_status"]) == (
            409, "refund_not_manual", "SETTLED",
        )  # fmt: skip

        await town.fetch(spoil, refund)
        note = {"note": "bank transfer 17"}
        assert (await call("staff", "POST", f"/{refund}/settle", json=note)).status_code == 403
        assert (await call("stranger", "POST", f"/{refund}/settle", json=note)).status_code == 403
        by_hand = await call("manager", "POST", f"/{refund}/settle", json=note)
        assert (by_hand.status_code, by_hand.json()["settled_by"], by_hand.json()["note"]) == (
            200, "manager", "bank transfer 17",
        )  # fmt: skip
        shown = await buyer.read(booking)
        assert shown["refund"]["status"] == "SETTLED"
        assert "bank transfer" not in str(shown)
    acts = await town.fetch("SELECT actor, verb, reason FROM acts WHERE subject = $1 ORDER BY id", f"refund:{refund}")
    assert [tuple(act.values()) for act in acts] == [
        ("staff", "retry_refund", "account is open again"),
        ("manager", "settle_refund", "bank transfer 17"),
    ]
