"""The five traps of the source documents, each walked into on purpose: see T1 to T5 in `tests/source_rows.toml`."""

import asyncio

import pytest

from engine.catalogue.policies import PolicyOverrides
from engine.limits import EXTENSIONS_PER_HOLD_MAX, PAYMENT_RETRIES_MAX
from tests.flow.conftest import guest
from tests.flow.test_holds_http import claim, refused, statuses
from tests.flow.town import until

pytestmark = pytest.mark.one_redis("its scripts answer alike on every kind in tests/lua")


@pytest.mark.covers("T1")
@pytest.mark.parametrize("taken", [False, True], ids=["seats-free", "seats-gone"])
async def test_trap_t1_money_that_comes_after_the_booking_has_lapsed(town, taken):
    """The same seats if they are still free, else all of the money back: never silence, never a double sale."""
    showtime = await town.open_showtime(payment_ttl_s=1)
    async with town.customer() as late, town.customer() as other:
        booking, payment = await late.begin(showtime, "A1")
        await late.until(booking, "EXPIRED")
        if taken:
            _, theirs = await other.begin(showtime, "A1")
            assert (await town.send_event("success", theirs)).status_code == 200
        assert (await town.send_event("success", payment)).status_code == 200
        shown = await late.read(booking)
    tickets = await town.fetch("SELECT subject FROM tickets WHERE showtime_id = $1 AND status = 'SOLD'", showtime)
    refunds = await town.fetch("SELECT amount_minor FROM refunds WHERE booking_id = $1", booking["id"])
    assert tickets == [{"subject": other.subject if taken else late.subject}]
    assert shown["status"] == ("REFUNDED" if taken else "CONFIRMED")
    assert refunds == ([{"amount_minor": payment["amount"]}] if taken else [])


@pytest.mark.covers("T2")
async def test_trap_t2_a_buyer_without_a_hold_takes_held_seats(town):
    """Neither by booking the seats at once, nor by naming the other's hold, nor by changing a hold of one's own."""
    showtime = await town.open_showtime()
    async with town.customer() as holder, town.customer() as thief:
        hold = await holder.claim(showtime, "A1")
        at_once = await thief.call("POST", "/bookings", 409, json={"showtime_id": showtime, "seats": ["A1"]})
        assert at_once["seats"] == [{"seat": "A1", "reason": "LOCKED"}]
        assert (await thief.check_out(hold, status=404))["code"] == "not_found"
        own = await thief.claim(showtime, "A2")
        changed = await thief.call("PATCH", f"/holds/{own['id']}", 409, json={"add": ["A1"]})
        assert changed["code"] == "seats_taken"
        assert (await holder.check_out(hold))["status"] == "PENDING"


@pytest.mark.covers("T3")
async def test_trap_t3_a_hold_that_is_extended_without_end(town):
    """Extensions are counted and capped in time; payments that fail on purpose move the deadline three times only."""
    showtime = await town.open_showtime(payment_ttl_s=300)
    async with town.customer() as greedy:
        hold = await greedy.claim(showtime, "A1")
        cap = hold["extendable_until"]
        for _ in range(EXTENSIONS_PER_HOLD_MAX):
            extended = await greedy.call("POST", f"/holds/{hold['id']}/extend", 200)
            assert extended["expires_at"] <= extended["extendable_until"] == cap
        assert extended["extensions_left"] == 0
        assert (await greedy.call("POST", f"/holds/{hold['id']}/extend", 409))["code"] == "cannot_extend"

        booking = await greedy.check_out(hold)
        short = await town.open_showtime(payment_ttl_s=1, hold_ttl_s=1, hold_max_s=1, claim_max_s=3)
        deadlines = []
        for _ in range(PAYMENT_RETRIES_MAX + 1):
            assert (await town.send_event("failed", await greedy.pay(booking))).status_code == 200
            deadlines.append((await greedy.read(booking))["expires_at"])
        assert sorted(set(deadlines[:-1])) == deadlines[:-1]
        assert deadlines[-1] == deadlines[-2]

        capped, payment = await greedy.begin(short, "A1")
        await town.send_event("failed", payment)
        await until(lambda: _is_free(town, short), "the seat, though its payment failed again and again", 6)
        assert (await greedy.read(capped))["status"] == "EXPIRED"


@pytest.mark.covers("T4")
async def test_trap_t4_a_user_id_in_a_request_is_believed(town):
    """In the body it is refused, in the query it is not looked at, and in a path no endpoint takes one."""
    showtime = await town.open_showtime()
    async with town.customer() as owner, town.customer() as thief:
        hold = await owner.claim(showtime, "A1")
        named = {"seats": ["A2"], "user_id": owner.subject}
        assert (await thief.call("POST", f"/showtimes/{showtime}/holds", 422, json=named))["code"] == "invalid_field"
        query = f"?user_id={owner.subject}&userId={owner.subject}"
        await thief.call("GET", f"/holds/{hold['id']}{query}", 404)
        await thief.call("DELETE", f"/holds/{hold['id']}{query}", 404)
        await thief.call("DELETE", f"/holds/{owner.subject}", 404)
        await thief.call("GET", f"/bookings/user/{owner.subject}", 404)
        await owner.call("GET", f"/holds/{hold['id']}", 200)


@pytest.mark.covers("T5")
async def test_trap_t5_seats_that_wait_for_a_cron_job(app_client, small):
    """No worker runs here: a lapsed seat is free at its deadline, shown, and claimed by the next one."""
    showtime = await small.add_showtime(days=2, policy=PolicyOverrides(hold_ttl_s=1))
    first, second = await guest(app_client), await guest(app_client)
    hold = (await claim(app_client, showtime, first, "A1")).json()
    assert await statuses(app_client, showtime) == {"A1": "LOCKED"}
    await asyncio.sleep(hold["expires_in_ms"] / 1000 + 0.01)
    assert await statuses(app_client, showtime) == {}
    assert (await claim(app_client, showtime, second, "A1")).status_code == 201
    refused(await app_client.get(f"/api/v1/holds/{hold['id']}", headers=first), 410, "hold_expired")


async def _is_free(town, showtime):
    return (await town.seat_statuses(showtime))["A1"] == "AVAILABLE"
