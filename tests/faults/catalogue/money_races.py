"""Races for money that the design closes: two payments, a cancellation, a check-in, another claim, another owner."""

import asyncio

from tests.faults.harness.faults import fault
from tests.faults.harness.stage import (
    SEATS,
    SETTLED_S,
    at,
    capture,
    claim_once,
    ends,
    money_back,
    open_showtime,
    rows,
)

PRICE = 5_000_000


@fault("two-sessions-of-a-booking-are-paid", holds="one of them buys the seats, the other's money goes back whole")
async def pay_two_sessions(world, chance):
    """The first session failed and a second was opened; then both are paid in the same moment."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        pairs = []
        for seat in SEATS[:5]:
            booking, old = await buyer.begin(showtime, seat)
            await capture(world, old, "failed")
            pairs.append((booking, old, await buyer.pay(booking)))
        payments = [payment for _, old, new in pairs for payment in (old, new)]
        chance.shuffle(payments)
        await asyncio.gather(*(capture(world, payment) for payment in payments))
        for booking, old, new in pairs:
            assert old["session_id"] != new["session_id"]
            paid = await ends(world, buyer, booking, "CONFIRMED")
            (ticket,) = paid["tickets"]
            loser = next(one["session_id"] for one in (old, new) if one["session_id"] != ticket["session_id"])
            back = await money_back(world, [old["session_id"], new["session_id"]])
            assert back == {loser: PRICE}


@fault("money-meets-a-cancelled-showtime", holds="whoever paid is paid back whole, and nobody keeps a ticket")
async def pay_for_a_cancelled_showtime(world, chance):
    """The showtime is cancelled while six payments for it are on their way, some before, some after."""
    showtime = await open_showtime(world)
    headers = {"Authorization": f"Bearer {world.town.token(subject='boss', role='admin')}"}
    async with world.town.customer() as buyer, world.town.client(headers) as boss:
        begun = [await buyer.begin(showtime, seat) for seat in SEATS[:6]]

        async def pay(payment):
            await world.wait(chance.uniform(0, 0.4))
            await capture(world, payment)

        async def cancel():
            await world.wait(chance.uniform(0, 0.4))
            answer = await boss.post(f"/admin/showtimes/{showtime}/cancel", json={"reason": "the projector"})
            assert answer.status_code == 202, answer.text

        await asyncio.gather(cancel(), *(pay(payment) for _, payment in begun))
        for booking, _ in begun:
            shown = await ends(world, buyer, booking, "REFUNDED", "CANCELLED")
            assert all(ticket["status"] == "REFUNDED" for ticket in shown["tickets"])
    sessions = [payment["session_id"] for _, payment in begun]
    assert await money_back(world, sessions) == dict.fromkeys(sessions, PRICE)


@fault("refund-meets-check-in", holds="a ticket is used or paid back, never both")
async def refund_amid_check_in(world, chance):
    """Every ticket is scanned at one API and given back at the other in the same moment."""
    showtime = await open_showtime(world)
    headers = {"Authorization": f"Bearer {world.town.token(subject='door', role='admin')}"}
    async with world.town.customer() as buyer, world.town.client(headers) as door, at(world.apis[1], buyer) as other:
        booking, payment = await buyer.begin(showtime, *SEATS[:6])
        await capture(world, payment)
        await ends(world, buyer, booking, "CONFIRMED")
        tickets = (await buyer.call("GET", f"/bookings/{booking['id']}/tickets", 200))["items"]

        async def scan(ticket):
            await world.wait(chance.uniform(0, 0.02))
            body = {"showtime_id": showtime, "gate": "North"}
            return (await door.post(f"/admin/tickets/{ticket['code']}/check-in", json=body)).status_code

        async def give_back(ticket):
            await world.wait(chance.uniform(0, 0.02))
            body = {"reason": "ill", "tickets": [ticket["id"]]}
            return (await other.client.post(f"/bookings/{booking['id']}/refunds", json=body)).status_code

        for ticket in tickets:
            let_in, repaid = await asyncio.gather(scan(ticket), give_back(ticket))
            assert (let_in == 200) != (repaid == 202), (let_in, repaid)
    found = await rows(
        world,
        "SELECT status, count(*) AS tickets, count(refund_id) AS repaid FROM tickets "
        "LEFT JOIN refund_tickets ON ticket_id = tickets.id WHERE session_id = $1 GROUP BY status",
        payment["session_id"],
    )
    assert all(row["repaid"] == (row["tickets"] if row["status"] == "REFUNDED" else 0) for row in found), found
    return {row["status"].lower(): row["tickets"] for row in found}


@fault(
    "late-money-meets-a-new-claim", holds="one of them has the seat: the late buyer, or the new one and the money back"
)
async def pay_late_amid_claims(world, chance):
    """Bookings lapse; their money and the next customer's claim of the same seat come in the same moment."""
    showtime = await open_showtime(world, payment_ttl_s=1, hold_ttl_s=30)
    async with world.town.customer() as late, world.town.customer() as early:
        begun = [await late.begin(showtime, seat) for seat in SEATS[:6]]
        for booking, _ in begun:
            await ends(world, late, booking, "EXPIRED")

        async def claim(seat):
            await world.wait(chance.uniform(0, 0.03))
            key = f"{showtime}-{seat}"

            async def answered():
                status = await claim_once(chance.choice(world.apis), early, showtime, seat, key)
                return status if status in (201, 409) else None

            return await world.until(answered, "an answer to a claim")

        claims = [claim(seat) for seat in SEATS[:6]]
        answers = await asyncio.gather(*claims, *(capture(world, payment) for _, payment in begun))
        won = 0
        for (booking, payment), answer in zip(begun, answers, strict=False):
            end = await ends(world, late, booking, "CONFIRMED", "REFUNDED")
            assert (end["status"] == "CONFIRMED") == (answer == 409)
            back = await money_back(world, [payment["session_id"]])
            assert back == ({} if answer == 409 else {payment["session_id"]: PRICE})
            won += answer == 409
    return {"late_buyers_won": won}


@fault("guest-becomes-somebody-while-paying", holds="the ticket has one owner, who sees it; the other one does not")
async def move_a_guest_while_paying(world, chance):
    """Guests pay and register in the same moment: holds and bookings move while their money is at work."""
    showtime = await open_showtime(world)
    async with world.town.client() as visitor:
        for seat in SEATS[:4]:
            guest = headers_of(await visitor.post("/auth/guest"))
            held = await visitor.post(f"/showtimes/{showtime}/holds", json={"seats": [seat]}, headers=guest)
            body = {"hold_id": held.json()["id"], "email": "visitor@example.com"}
            booking = (await visitor.post("/bookings", json=body, headers=guest)).json()
            payment = (await visitor.post(f"/bookings/{booking['id']}/payments", json={}, headers=guest)).json()

            async def register(guest=guest):
                await world.wait(chance.uniform(0, 0.15))
                email = f"rina{chance.getrandbits(48):x}@example.com"
                body = {"email": email, "password": "correct horse", "name": "Rina"}
                return headers_of(await visitor.post("/auth/register", json=body, headers=guest))

            account, _ = await asyncio.gather(register(), capture(world, payment))
            path = f"/bookings/{booking['id']}"

            async def confirmed(path=path, callers=(guest, account)):
                seen = [await visitor.get(path, headers=caller) for caller in callers]
                return (
                    seen
                    if any(one.status_code == 200 and one.json()["status"] == "CONFIRMED" for one in seen)
                    else None
                )

            seen = await world.until(confirmed, "the booking of a guest or of the account", SETTLED_S)
            assert sorted(one.status_code for one in seen) == [200, 404]


def headers_of(answer):
    """Give the headers of a session that was just begun."""
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
