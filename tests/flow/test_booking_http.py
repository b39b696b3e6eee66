"""Check-out and what may be done with a booking: whose it is, what it costs, what is refused."""

import asyncio
from uuid import uuid4

import pytest

from tests.flow.town import SHOP_ORIGIN

pytestmark = pytest.mark.one_redis(
    "its scripts answer alike on every kind in tests/lua; a whole purchase and a storm run on each"
)

REGULAR, VIP = 5_000_000, 12_000_000


async def test_a_repeated_check_out_gives_the_same_booking_and_no_more_time(town):
    """201, then 200 with the deadline of the first."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        hold = await buyer.claim(showtime, "A1")
        first = await buyer.check_out(hold)
        await asyncio.sleep(0.05)
        again = await buyer.check_out(hold, status=200, email="other@example.com")
        assert (again["id"], again["expires_at"], again["email"]) == (first["id"], first["expires_at"], first["email"])
        assert again["expires_in_ms"] < first["expires_in_ms"]


async def test_a_check_out_with_a_key_is_replayed(town):
    """The same key gives the first 201 again; with another body it is refused."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        hold = await buyer.claim(showtime, "A1")
        key = {"Idempotency-Key": "first-try"}
        first = await buyer.client.post("/bookings", json={"hold_id": hold["id"]}, headers=key)
        again = await buyer.client.post("/bookings", json={"hold_id": hold["id"]}, headers=key)
        other = await buyer.client.post("/bookings", json={"hold_id": hold["id"], "locale": "en"}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"] == hold["id"]
    assert other.json()["code"] == "idempotency_key_reused"


@pytest.mark.covers("004.7", "004.12")
async def test_seats_are_claimed_and_checked_out_at_once(town):
    """Without a hold first: all seats or none, and a key makes the pair of steps one."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer, town.customer() as other:
        body = {"showtime_id": showtime, "seats": ["A1", "E3"]}
        key = {"Idempotency-Key": "at-once"}
        booking = await buyer.call("POST", "/bookings", 201, json=body, headers=key)
        assert (booking["status"], booking["amount"]) == ("PENDING", REGULAR + VIP)
        assert (await buyer.call("POST", "/bookings", 201, json=body, headers=key))["id"] == booking["id"]
        taken = await other.call("POST", "/bookings", 409, json={"showtime_id": showtime, "seats": ["A2", "E3"]})
        assert (taken["code"], taken["seats"]) == ("seats_taken", [{"seat": "E3", "reason": "LOCKED"}])
        statuses = await town.seat_statuses(showtime)
    assert (statuses["A1"], statuses["A2"], statuses["E3"]) == ("LOCKED", "AVAILABLE", "LOCKED")


@pytest.mark.covers("004.2")
async def test_a_buyer_without_a_hold_cannot_take_held_seats(town):
    """Somebody else's hold stands in the way of a booking just as a sale does (trap T2 of the source documents)."""
    showtime = await town.open_showtime()
    async with town.customer() as holder, town.customer() as thief:
        hold = await holder.claim(showtime, "A1")
        refused = await thief.call("POST", "/bookings", 409, json={"showtime_id": showtime, "seats": ["A1"]})
        assert refused["seats"] == [{"seat": "A1", "reason": "LOCKED"}]
        assert (await thief.check_out(hold, status=404))["code"] == "not_found"
        await holder.check_out(hold)


async def test_a_user_id_in_a_request_is_never_believed(town):
    """Body, path and query may name whom they like: only the token's subject counts (trap T4)."""
    showtime = await town.open_showtime()
    async with town.customer() as owner, town.customer() as thief:
        hold = await owner.claim(showtime, "A1")
        for name in ("user_id", "userId", "subject"):
            refused = await thief.check_out(hold, status=422, **{name: owner.subject})
            assert refused["errors"][0]["pointer"] == f"/{name}"
        claimed_for = {"showtime_id": showtime, "seats": ["A2"], "customer": owner.subject}
        await thief.call("POST", "/bookings", 422, json=claimed_for)
        booking, _ = await owner.check_out(hold), await owner.pay(hold)

        query = f"?user_id={owner.subject}&userId={owner.subject}"
        for method, path in (
            ("GET", f"/bookings/{booking['id']}"),
            ("GET", f"/bookings/{booking['id']}/tickets"),
            ("GET", f"/bookings/{booking['id']}/payments"),
            ("POST", f"/bookings/{booking['id']}/payments"),
            ("POST", f"/bookings/{booking['id']}/cancel"),
        ):
            assert (await thief.call(method, path + query, 404))["code"] == "not_found"
        assert (await thief.call("GET", "/me/bookings" + query, 200))["items"] == []
        assert (await owner.read(booking))["status"] == "PENDING"


async def test_bookings_need_a_token(town):
    """Nothing about bookings is public, but for the webhook with its signature."""
    async with town.client() as stranger:
        booking = f"/bookings/{uuid4()}"
        for method, path in (
            ("POST", "/bookings"),
            ("GET", booking),
            ("POST", f"{booking}/cancel"),
            ("POST", f"{booking}/payments"),
            ("GET", "/me/bookings"),
        ):
            answer = await stranger.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")


async def test_a_guest_needs_an_address_to_book(town):
    """A guest may hold; without an e-mail there is no booking, and the hold is untouched."""
    showtime = await town.open_showtime()
    async with town.customer(guest=True) as guest:
        hold = await guest.claim(showtime, "A1")
        assert (await guest.check_out(hold, status=422))["code"] == "email_required"
        seats = {"showtime_id": showtime, "seats": ["A2"]}
        assert (await guest.call("POST", "/bookings", 422, json=seats))["code"] == "email_required"
        assert (await guest.call("GET", f"/holds/{hold['id']}", 200))["status"] == "HELD"
        booking = await guest.check_out(hold, email="Guest@Example.COM ", phone="+62 812 3456", locale="en")
        assert booking["email"] == "guest@example.com"
    assert (await town.seat_statuses(showtime))["A2"] == "AVAILABLE"


async def test_a_hold_can_be_read_as_the_booking_that_it_will_be(town):
    """Before the check-out it is HELD, and says what may be done."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        hold = await buyer.claim(showtime, "A1")
        held = await buyer.read(hold)
        assert (held["status"], held["actions"], held["payment"]) == ("HELD", ["check_out", "cancel"], None)
        assert (await buyer.pay(hold, status=409))["code"] == "not_payable"


async def test_seats_may_change_after_check_out_until_a_payment_is_open(town):
    """The amount follows the seats; from the payment on they are fixed, until it fails."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking = await buyer.check_out(await buyer.claim(showtime, "A1"))
        change = {"add": ["E3"], "remove": ["A1"]}
        await buyer.call("PATCH", f"/holds/{booking['id']}", 200, json=change)
        changed = await buyer.read(booking)
        assert ([seat["seat"] for seat in changed["seats"]], changed["amount"]) == (["E3"], VIP)
        assert changed["expires_at"] == booking["expires_at"]

        payment = await buyer.pay(booking)
        assert payment["amount"] == VIP
        refused = await buyer.call("PATCH", f"/holds/{booking['id']}", 409, json={"add": ["A1"]})
        assert refused["code"] == "payment_open"
        await town.send_event("failed", payment)
        await buyer.call("PATCH", f"/holds/{booking['id']}", 200, json={"add": ["A1"]})
        again = await buyer.pay(booking)
        assert (again["amount"], again["session_id"] != payment["session_id"]) == (VIP + REGULAR, True)
        await town.send_event("success", again)
        assert sorted(ticket["seat"] for ticket in (await buyer.read(booking))["tickets"]) == ["A1", "E3"]


@pytest.mark.covers("004.13", "004.14")
async def test_a_booking_has_one_live_payment_session(town):
    """However often, and at once, a payment is begun: one session, written down before the gateway knows it."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking = await buyer.check_out(await buyer.claim(showtime, "A1"))
        path = f"/bookings/{booking['id']}/payments"
        answers = await asyncio.gather(*(buyer.client.post(path) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
        assert len({answer.json()["session_id"] for answer in answers}) == 1
        assert {answer.json()["expires_at"] for answer in answers} == {booking["expires_at"]}
        rows = await town.fetch(
            "SELECT status, amount_minor, gateway FROM payments WHERE booking_id = $1", booking["id"]
        )
        assert rows == [{"status": "PENDING", "amount_minor": REGULAR, "gateway": "fake"}]


async def test_a_payment_begun_with_a_key_is_replayed(town):
    """The same key gives the first answer again, even when that session has ended; another body is refused."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking = await buyer.check_out(await buyer.claim(showtime, "A1"))
        path, key = f"/bookings/{booking['id']}/payments", {"Idempotency-Key": "pay-once"}
        first = await buyer.client.post(path, json={}, headers=key)
        await town.send_event("failed", first.json())
        again = await buyer.client.post(path, json={}, headers=key)
        other = await buyer.client.post(path, json={"return_url": f"{SHOP_ORIGIN}/"}, headers=key)
        new = await buyer.pay(booking)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert other.json()["code"] == "idempotency_key_reused"
    assert new["session_id"] != first.json()["session_id"]


async def test_a_gateway_that_is_away_costs_only_a_second_click(town):
    """503 with the intent kept; when the gateway is back, the next click gets that very session."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking = await buyer.check_out(await buyer.claim(showtime, "A1"))
        town.gateway.stop()
        try:
            path = f"/bookings/{booking['id']}/payments"
            away = await buyer.client.post(path)
        finally:
            town.gateway.start()
        assert (away.status_code, away.json()["code"]) == (503, "gateway_unavailable")
        assert away.headers["Retry-After"]
        kept = await town.fetch("SELECT session_id FROM payments WHERE booking_id = $1", booking["id"])
        payment = await buyer.pay(booking, status=200)
        assert [payment["session_id"]] == [row["session_id"] for row in kept]
        assert (await buyer.client.get(payment["payment_url"])).status_code == 200


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        (f"{SHOP_ORIGIN}/thanks?a=1#b", True),
        (f"{SHOP_ORIGIN}:443", True),
        ("HTTPS://SHOP.EXAMPLE/", True),
        ("https://shop.example.evil.example/", False),
        ("https://evil.example/?https://shop.example", False),
        ("https://shop.example@evil.example/", False),
        ("https://shop.example:8443/", False),
        ("http://shop.example/", False),
        ("https://evil.example\\@shop.example/", False),
        ("javascript:alert(1)", False),
        ("//shop.example/", False),
        ("https://[shop.example/", False),
        ("https://shop.example:99999/", False),
        ("https://shop.example/\n", False),
        ("", False),
    ],
)
async def test_a_payment_leads_back_only_to_pages_on_the_list(town, url, allowed):
    """An origin is allowed whole or not at all; nothing is written for one that is not."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking = await buyer.check_out(await buyer.claim(showtime, "A1"))
        for field in ("return_url", "cancel_url"):
            refused = await buyer.pay(booking, status=201 if allowed else 422, **{field: url})
            if allowed:
                return
            assert refused["errors"][0]["pointer"] == f"/{field}"
        assert await town.fetch("SELECT 1 FROM payments WHERE booking_id = $1", booking["id"]) == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"[]", 422, "invalid_field"),
        (b"{}", 422, "invalid_field"),
        (b'{"hold_id": 7}', 422, "invalid_field"),
        (b'{"hold_id": "no-such-hold"}', 404, "not_found"),
        (b'{"hold_id": "00000000-0000-4000-8000-000000000000"}', 404, "not_found"),
        (b'{"showtime_id": 1}', 422, "invalid_field"),
        (b'{"showtime_id": 0, "seats": ["A1"]}', 422, "invalid_field"),
        (b'{"showtime_id": 4294967295, "seats": ["A1"]}', 404, "not_found"),
        (b'{"showtime_id": SHOW, "seats": []}', 422, "invalid_field"),
        (b'{"showtime_id": SHOW, "seats": "A1"}', 422, "invalid_field"),
        (b'{"showtime_id": SHOW, "seats": ["Z9"]}', 422, "unknown_seat"),
        (b'{"showtime_id": SHOW, "seats": ["A1", "A1"]}', 422, "duplicate_seat"),
        (b'{"showtime_id": SHOW, "seats": ["A1"], "hold_id": "HOLD"}', 422, "invalid_field"),
        (b'{"hold_id": "HOLD", "email": "nowhere"}', 422, "invalid_field"),
        (b'{"hold_id": "HOLD", "phone": "call me"}', 422, "invalid_field"),
        (b'{"hold_id": "HOLD", "email": "a\\u0000@b.example"}', 422, "invalid_field"),
    ],
)
async def test_a_wrong_check_out_changes_nothing(town, body, status, code):
    """Each mistake has its word; the hold stays a hold and no seat is taken."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        hold = await buyer.claim(showtime, "B1")
        body = body.replace(b"SHOW", str(showtime).encode()).replace(b"HOLD", hold["id"].encode())
        headers = {"Content-Type": "application/json"}
        answer = await buyer.client.post("/bookings", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert (await buyer.read(hold))["status"] == "HELD"
    locked = [seat for seat, shown in (await town.seat_statuses(showtime)).items() if shown != "AVAILABLE"]
    assert locked == ["B1"]


@pytest.mark.covers("003.5", "004.9")
async def test_a_hold_that_has_lapsed_is_gone_for_every_call(town):
    """410 for the check-out; an unpaid booking past its deadline is EXPIRED, and cannot be paid."""
    showtime = await town.open_showtime(hold_ttl_s=1, payment_ttl_s=1)
    async with town.customer() as buyer, town.customer() as other:
        hold = await buyer.claim(showtime, "A1")
        booking, _ = await buyer.begin(showtime, "A2")
        await asyncio.sleep(1.1)
        assert (await buyer.check_out(hold, status=410))["code"] == "hold_expired"
        assert (await buyer.pay(booking, status=410))["code"] == "booking_expired"
        expired = await buyer.read(booking)
        assert (expired["status"], expired["status_reason"], expired["actions"]) == ("EXPIRED", "payment_timeout", [])
        await other.claim(showtime, "A1", "A2")


async def test_an_id_that_is_none_is_nobodys_booking(town):
    """Whatever is asked of it: 404, not a crash of the query that takes ids only."""
    async with town.customer() as buyer:
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/payments"), ("GET", "/payments")):
            assert (await buyer.call(method, f"/bookings/null,null{path}", 404))["code"] == "not_found"
