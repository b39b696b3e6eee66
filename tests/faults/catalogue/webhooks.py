"""The gateway's events: doubled, days late, out of order, forged, of nobody's session, wrong, under way at a death."""

import asyncio
import time

import httpx

from engine.limits import DAY_MS, WEBHOOK_TOLERANCE_S
from engine.orders.gateways.protocol import NewSession
from tests.faults.harness.faults import fault
from tests.faults.harness.stage import (
    SEATS,
    SETTLED_S,
    capture,
    ends,
    forget,
    gateway,
    money_back,
    open_showtime,
    rows,
    settle_down,
    tell,
)

PRICE = 5_000_000
COPIES = 10
WRONG_AGE_S = WEBHOOK_TOLERANCE_S + 120
"""However long it is on its way here, it is too old; and too young for a while."""


async def taken(answer):
    """Wait for the answer to an event that must be taken."""
    said = await answer
    assert said.status_code == 200, said.text


@fault("event-ten-times-at-once", holds="one capture, one sale, and 200 for each copy")
async def send_copies(world, chance):
    """Ten copies to two APIs in the same moment, some under one event id, some under their own, and the real one."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, *SEATS[:2])
        ids = [f"evt_{payment['session_id']}_{chance.choice((0, 0, number))}" for number in range(COPIES)]
        copies = [tell(chance.choice(world.apis), "success", payment, id=name) for name in ids]
        real = capture(world, payment)
        await asyncio.gather(real, *(taken(copy) for copy in copies))
        paid = await ends(world, buyer, booking, "CONFIRMED", "REFUNDED")
    assert (paid["status"], len(paid["tickets"])) == ("CONFIRMED", 2)
    counts = "SELECT (SELECT count(*) FROM captures WHERE session_id = $1) AS captures, count(*) AS tickets"
    (found,) = await rows(world, f"{counts} FROM tickets WHERE session_id = $1", payment["session_id"])
    assert found == {"captures": 1, "tickets": 2}
    assert await money_back(world, [payment["session_id"]]) == {}


@fault("event-days-late", holds="an old event, freshly signed, finds its end, or buys what is still for sale")
async def send_days_late(world, chance):
    """Events of a booking that is confirmed, one that lapsed and is free, and one whose show is over for days."""
    showtime, short, over = [await open_showtime(world, payment_ttl_s=ttl) for ttl in (120, 1, 600)]
    async with world.town.customer() as buyer:
        confirmed, old = await buyer.begin(showtime, SEATS[0])
        lapsed, late = await buyer.begin(short, SEATS[0])
        missed, dead = await buyer.begin(over, SEATS[0])
        await capture(world, old)
        before = await ends(world, buyer, confirmed, "CONFIRMED")
        await ends(world, buyer, lapsed, "EXPIRED")
        await end_the_show(world, over)
        await taken(tell(world.apis[0], "success", old, occurred_at="2020-01-01T00:00:00Z"))
        stale = await tell(world.apis[0], "success", late, age_s=3 * 24 * 3600)
        assert (stale.status_code, stale.json()["code"]) == (401, "stale_signature")
        await asyncio.gather(capture(world, late), capture(world, dead))
        for payment in (old, late, dead):
            await taken(tell(chance.choice(world.apis), "success", payment))
        bought = await ends(world, buyer, lapsed, "CONFIRMED", "REFUNDED")
        repaid = await ends(world, buyer, missed, "CONFIRMED", "REFUNDED")
        after = await buyer.read(confirmed)
    assert (bought["status"], bought["status_reason"]) == ("CONFIRMED", "paid_late")
    assert (repaid["status"], repaid["tickets"]) == ("REFUNDED", [])
    assert {**before, "server_time": 0} == {**after, "server_time": 0}
    sessions = [payment["session_id"] for payment in (old, late, dead)]
    assert await money_back(world, sessions) == {dead["session_id"]: PRICE}


async def end_the_show(world, showtime):
    """Move a showtime three days into the past; its keys have ended, as they do a day after a show."""
    sql = (
        "UPDATE showtimes SET starts_at = t - interval '2 hours', ends_at = t, sales_stop_at = t - interval '2 hours', "
        "sales_open_at = t - interval '9 days' FROM (SELECT now() - $2 * interval '1 ms' AS t) AS ended WHERE id = $1"
    )
    await rows(world, sql, showtime, 3 * DAY_MS)
    await world.wait(6)  # processes trust what they have read of a showtime for a while
    await forget(world, showtime)


@fault("events-out-of-order", holds="success is final in any order, and failure or expiry never takes a ticket away")
async def send_out_of_order(world, chance):
    """For each of six bookings all three ends are told, to any API, in any order and at once; the money is real."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:6]]

        async def end(payment):
            told = [("failed", None), ("expired", None), ("success", capture), ("failed", None)]
            chance.shuffle(told)
            together = chance.random() < 0.5
            calls = []
            for kind, real in told:
                call = real(world, payment) if real else taken(tell(chance.choice(world.apis), kind, payment))
                calls.append(call)
                if not together:
                    await calls.pop()
            await asyncio.gather(*calls)

        await asyncio.gather(*(end(payment) for _, payment in begun))
        shown = [await ends(world, buyer, booking, "CONFIRMED", "REFUNDED") for booking, _ in begun]
    # A success that comes after the expiry buys the seats again, for nobody else wants them.
    assert [one["status"] for one in shown] == ["CONFIRMED"] * 6
    assert await money_back(world, [payment["session_id"] for _, payment in begun]) == {}


@fault("event-forged", holds="what is not signed by the gateway, or long ago, changes nothing")
async def forge(world, chance):
    """A stranger tells of money for everything that is open, with a guessed secret, old and future signatures."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:4]]
        lies = [
            tell(api, kind, payment, **how)
            for _, payment in begun
            for kind in ("success", "failed", "expired")
            for how in ({"secret": "guessed"}, {"age_s": WRONG_AGE_S}, {"age_s": -WRONG_AGE_S})
            for api in world.apis
        ]
        chance.shuffle(lies)
        said = [(await lie).status_code for lie in lies]
        assert set(said) == {401}, said
        assert {(await buyer.read(booking))["status"] for booking, _ in begun} == {"PENDING"}
    sessions = [payment["session_id"] for _, payment in begun]
    assert await rows(world, "SELECT 1 FROM payment_events WHERE session_id = ANY ($1)", sessions) == []
    assert await rows(world, "SELECT 1 FROM captures WHERE session_id = ANY ($1)", sessions) == []
    return {"lies": len(lies)}


@fault("event-of-an-unknown-session", holds="money that nobody asked for goes back, once, and a person is told")
async def pay_an_unknown_session(world, chance):
    """The gateway takes money for a session that our ledger has never heard of."""
    session = f"sess_of_somebody_else_{chance.getrandbits(64):x}"
    async with gateway(world) as till:
        await till.create_session(a_session(session, 77_000))
    payment = {"session_id": session, "amount": 77_000, "currency": "IDR"}
    await capture(world, payment)
    await asyncio.gather(*(taken(tell(api, "success", payment)) for api in world.apis))
    await repaid(world, session, 77_000)
    assert await rows(world, "SELECT kind FROM cases WHERE session_id = $1", session) == [{"kind": "unknown_session"}]


@fault("event-of-a-wrong-amount", holds="what was really taken goes back, and the seats can still be paid for")
async def pay_a_wrong_amount(world, chance):
    """The gateway is away while a payment begins; meanwhile its session is made there for less, or more."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        booking = await buyer.check_out(await buyer.claim(showtime, *SEATS[:2]))
        await world.gateway.kill()
        try:
            refused = await buyer.client.post(f"/bookings/{booking['id']}/payments", json={})
            assert (refused.status_code, refused.json()["code"]) == (503, "gateway_unavailable"), refused.text
        finally:
            await world.gateway.begin()
        (asked,) = await rows(world, "SELECT session_id FROM payments WHERE booking_id = $1::uuid", booking["id"])
        session, amount = asked["session_id"], 2 * PRICE + chance.choice((-1, 1, -PRICE))
        async with gateway(world) as till:
            await till.create_session(a_session(session, amount))
        await capture(world, {"session_id": session})
        await repaid(world, session, amount)
        assert (await buyer.read(booking))["tickets"] == []
        again = await buyer.pay(booking)
        assert again["session_id"] != session
        await capture(world, again)
        paid = await ends(world, buyer, booking, "CONFIRMED", "REFUNDED")
    assert (paid["status"], len(paid["tickets"])) == ("CONFIRMED", 2)


def a_session(session_id, amount):
    """Give an order for a session at the gateway."""
    now_ms = time.time_ns() // 1_000_000
    return NewSession(
        session_id=session_id, amount_minor=amount, currency="IDR", description="?", expires_at_ms=now_ms + 600_000
    )


async def repaid(world, session, amount):
    """Wait until exactly this much has gone back, at the gateway too."""

    async def look():
        found = await rows(world, "SELECT amount_minor, status FROM refunds WHERE session_id = $1", session)
        return [tuple(row.values()) for row in found] == [(amount, "SETTLED")]

    await world.until(look, f"{amount} of {session} going back", SETTLED_S)


@fault("api-killed-before-the-money-is-written", holds="the gateway tells again, and the money is known then")
async def kill_before_the_capture(world, chance):
    """The event has arrived; the API dies over the very statement that would make its money durable."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:3]]
        line = world.api.postgres_line
        line.cut()  # so that the statement is sent anew, in words
        line.swallow_after = b"INSERT INTO captures"
        paying = [asyncio.create_task(capture(world, payment)) for _, payment in begun]
        async with asyncio.timeout(10):
            await line.answer_swallowed()
        await world.api.kill()
        line.heal()
        await world.api.begin()
        await settle_down(*paying)
        await all_confirmed(world, buyer, begun)


@fault("api-killed-before-the-answer", holds="the event comes again, and finds what the first one did")
async def kill_before_the_answer(world, chance):
    """The money is written and the seats are sold, the ledger is slow to say so, and the API dies over its waiting."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:3]]
        sessions = [payment["session_id"] for _, payment in begun]
        async with world.ledger() as operator, operator.transaction():
            await operator.execute("LOCK TABLE tickets IN SHARE MODE")
            paying = [asyncio.create_task(capture(world, payment)) for _, payment in begun]
            await world.until(lambda: written(world, sessions), "the money in the ledger")
            await world.wait(chance.uniform(0, 1))
            await world.api.kill()
        await world.api.begin()
        await settle_down(*paying)
        await all_confirmed(world, buyer, begun)


async def written(world, sessions):
    """Tell whether all of this money is in the ledger, without an outcome."""
    sql = "SELECT count(*) AS count FROM captures WHERE session_id = ANY ($1) AND outcome IS NULL"
    return (await rows(world, sql, sessions))[0]["count"] == len(sessions)


async def all_confirmed(world, buyer, begun):
    """Wait until each of these one-seat bookings has its ticket; nothing of their money goes back."""
    for booking, _ in begun:
        paid = await ends(world, buyer, booking, "CONFIRMED", "REFUNDED")
        assert (paid["status"], len(paid["tickets"])) == ("CONFIRMED", 1)
    assert await money_back(world, [payment["session_id"] for _, payment in begun]) == {}


@fault("gateway-dies-amid-its-events", holds="an event that nobody saw taken comes again, and money is asked for")
async def kill_the_gateway(world, chance):
    """Killed with -9 while it tells of payments, twice; what it took and never told is found by asking it."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:6]]
        for lot in (begun[:3], begun[3:]):
            paying = [asyncio.create_task(pay_page(payment)) for _, payment in lot]
            await world.wait(chance.uniform(0.01, 0.2))
            await world.gateway.kill()
            await settle_down(*paying)
            await world.gateway.begin()
        for booking, payment in begun:
            if (await buyer.read(booking))["status"] == "PENDING":
                await pay_page(payment)  # its page had not been sent off
            paid = await ends(world, buyer, booking, "CONFIRMED", "REFUNDED")
            assert (paid["status"], len(paid["tickets"])) == ("CONFIRMED", 1)


async def pay_page(payment):
    """Pay at the gateway's page as a browser does."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=20) as browser:
        await browser.post(f"{payment['payment_url']}/pay", data={"card": "4242 4242 4242 4242"})
