"""How each POST of the route table succeeds once: the scenarios of the tests of Idempotency-Key."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from tests.flow.town import SHOP_ORIGIN, WEBHOOK_SECRET, until


@dataclass
class Call:
    """A request that succeeds once; `other` is another body that would do as well, None if there is none."""

    path: str
    body: Any = None
    other: Any = None
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, client: httpx.AsyncClient, key: str | None, body: Any = None) -> httpx.Response:
        """Send it, or the same with another body."""
        headers = dict(self.headers)
        if key is not None:
            headers["Idempotency-Key"] = key
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        sent = self.body if body is None else body
        if isinstance(sent, bytes):
            return await client.post(self.path, content=sent, headers=headers)
        return await client.post(self.path, json=sent, headers=headers)


class Shop:
    """What the scenarios are made of: a new customer and an administrator in a town."""

    def __init__(self, town, buyer):
        self.town = town
        self.buyer = buyer
        self.token = buyer.client.headers["Authorization"].removeprefix("Bearer ")
        self.admin = town.token(subject="admin", role="admin")

    async def begin(self):
        """Begin a payment; gives booking and payment."""
        return await self.buyer.begin(await self.town.open_showtime(), "A1")

    async def buy(self):
        """Pay for a seat at the gateway; gives the booking."""
        booking, payment = await self.begin()
        path = f"/payments/simulate/{payment['session_id']}"
        await self.buyer.call("POST", path, 200, json={"outcome": "success"})
        return await self.buyer.until(booking, "CONFIRMED")

    async def owe(self):
        """Have a refund that waits for a person; gives its id."""
        call = await give_back(self)
        refund = (await call.send(self.buyer.client, None)).json()["refund"]["id"]
        sql = "SELECT 1 FROM refunds WHERE id = $1 AND status = 'SETTLED'"
        await until(lambda: self.town.fetch(sql, refund), "the refund settled")
        await self.town.fetch("UPDATE refunds SET status = 'MANUAL', settled_at = NULL WHERE id = $1", refund)
        return refund

    async def make(self, path, **body):
        """Let the administrator make something."""
        answer = await Call(f"/admin/{path}", body, token=self.admin).send(self.buyer.client, None)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def programme(self):
        """Make a cinema of its own with a hall, and a film; gives cinema and the body of a showtime."""
        name = uuid4().hex
        cinema = await self.make("cinemas", name=name, city="Jakarta", timezone="Asia/Jakarta")
        plan = {"name": name, "lines": ["A RRRR"]}
        hall = await self.make("auditoriums", cinema_id=cinema, name="One", floor_plan=plan)
        movie = await self.make("movies", title=name, duration_minutes=90)
        starts_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        show = {"auditorium_id": hall, "movie_id": movie, "starts_at": starts_at, "prices": {"REGULAR": 1}}
        return cinema, show

    async def showtime(self):
        """Put a showtime on in a cinema of its own; gives cinema and showtime."""
        cinema, show = await self.programme()
        return cinema, await self.make("showtimes", **show)


def user():
    """Give a registration."""
    return {"email": f"{uuid4().hex}@example.com", "password": "correct horse", "name": "Sari"}


async def claim(shop):
    """Claim a seat."""
    showtime = await shop.town.open_showtime()
    return Call(f"/showtimes/{showtime}/holds", {"seats": ["A1"]}, {"seats": ["A2"]}, shop.token)


async def extend(shop):
    """Give a hold its time again."""
    hold = await shop.buyer.claim(await shop.town.open_showtime(), "A1")
    return Call(f"/holds/{hold['id']}/extend", token=shop.token)


async def check_out(shop):
    """Check a hold out."""
    hold = await shop.buyer.claim(await shop.town.open_showtime(), "A1")
    body = {"hold_id": hold["id"]}
    return Call("/bookings", body, body | {"locale": "en"}, shop.token)


async def cancel(shop):
    """Cancel a booking whose payment has begun."""
    booking, _ = await shop.begin()
    return Call(f"/bookings/{booking['id']}/cancel", {"reason": "rain"}, {"reason": "sun"}, shop.token)


async def pay(shop):
    """Begin a payment."""
    booking = await shop.buyer.check_out(await shop.buyer.claim(await shop.town.open_showtime(), "A1"))
    return Call(f"/bookings/{booking['id']}/payments", {}, {"return_url": f"{SHOP_ORIGIN}/"}, shop.token)


async def webhook(shop):
    """Tell of a payment in the gateway's name."""
    _, payment = await shop.begin()
    event = {"id": uuid4().hex, "type": "payment.success", "session_id": payment["session_id"]}
    body = json.dumps(event | {"amount": payment["amount"], "currency": payment["currency"]}).encode()
    headers = {SIGNATURE_HEADER: sign(WEBHOOK_SECRET, body, int(time.time()))}
    return Call("/payments/webhook", body, headers=headers)


async def simulate(shop):
    """Let the fake gateway end a session."""
    _, payment = await shop.begin()
    return Call(f"/payments/simulate/{payment['session_id']}", {"outcome": "success"}, {"outcome": "failed"})


async def give_back(shop):
    """Give the ticket of a booking back."""
    booking = await shop.buy()
    return Call(f"/bookings/{booking['id']}/refunds", {"reason": "flu"}, {"reason": "a cold"}, shop.token)


async def retry_refund(shop):
    """Have the gateway asked again."""
    return Call(f"/admin/refunds/{await shop.owe()}/retry", {"reason": "again"}, {"reason": "once more"}, shop.admin)


async def settle_refund(shop):
    """Say that a refund was paid by hand."""
    return Call(f"/admin/refunds/{await shop.owe()}/settle", {"note": "in cash"}, {"note": "by bank"}, shop.admin)


async def register(_):
    """Open an account."""
    body = user()
    return Call("/auth/register", body, body | {"name": "Rina"})


async def login(shop):
    """Log in to a new account."""
    body = user()
    await shop.buyer.call("POST", "/auth/register", 201, json=body)
    del body["name"]
    return Call("/auth/login", body)


async def become_guest(_):
    """Become a guest."""
    return Call("/auth/guest")


async def refresh(shop):
    """Renew a session."""
    session = await shop.buyer.call("POST", "/auth/register", 201, json=user())
    return Call("/auth/refresh", {"refresh_token": session["refresh_token"]})


async def make_cinema(shop):
    """Make a cinema."""
    body = {"name": uuid4().hex, "city": "Jakarta", "timezone": "Asia/Jakarta"}
    return Call("/admin/cinemas", body, body | {"name": uuid4().hex}, shop.admin)


async def make_auditorium(shop):
    """Make a hall."""
    cinema, _ = await shop.programme()
    body = {"cinema_id": cinema, "name": "Two", "floor_plan": {"name": "Two", "lines": ["A RR"]}}
    return Call("/admin/auditoriums", body, body | {"name": "Three"}, shop.admin)


async def make_movie(shop):
    """Make a film."""
    body = {"title": uuid4().hex, "duration_minutes": 90}
    return Call("/admin/movies", body, body | {"duration_minutes": 91}, shop.admin)


async def make_showtime(shop):
    """Put a showtime on."""
    _, show = await shop.programme()
    return Call("/admin/showtimes", show, show | {"prices": {"REGULAR": 2}}, shop.admin)


def decide(verb, *, whole_cinema):
    """Give the scenario of freezing or opening one showtime, or all of a cinema."""

    async def scenario(shop):
        cinema, showtime = await shop.showtime()
        path = f"/admin/{verb}" if whole_cinema else f"/admin/showtimes/{showtime}/{verb}"
        body = {"reason": "smoke"} | ({"cinema": cinema} if whole_cinema else {})
        return Call(path, body, body | {"reason": "water"}, shop.admin)

    return scenario


async def block(shop):
    """Take a seat out of sale."""
    _, showtime = await shop.showtime()
    body = {"seats": ["A1"], "reason": "broken"}
    return Call(f"/admin/showtimes/{showtime}/blocks", body, body | {"seats": ["A2"]}, shop.admin)


async def look_up(shop):
    """Ask for a booking by mail."""
    booking, _ = await shop.begin()
    body = {"id": booking["id"], "email": "ayu@example.com"}
    return Call("/bookings/lookup", body, body | {"id": str(uuid4())})


async def retry_notification(shop):
    """Try a notification again that waits."""
    booking, _ = await shop.begin()
    await Call("/bookings/lookup", {"id": booking["id"], "email": f"{uuid4().hex}@x.org"}).send(shop.buyer.client, None)
    (row,) = await shop.town.fetch("SELECT id FROM notifications WHERE booking_id = $1::text::uuid", booking["id"])
    return Call(f"/admin/notifications/{row['id']}/retry", token=shop.admin)


async def quiet_endpoint(shop):
    """Describe an endpoint where nobody answers, of a cinema where nothing happens: nothing is tried there for days."""
    cinema = await shop.make("cinemas", name=uuid4().hex, city="Jakarta", timezone="Asia/Jakarta")
    return {"url": "http://127.0.0.1:9/hook", "events": ["refund.manual"], "cinema_id": cinema}


async def make_endpoint(shop):
    """Make an endpoint for webhooks."""
    body = await quiet_endpoint(shop)
    return Call("/admin/webhooks", body, body | {"description": "another"}, shop.admin)


async def send_test(shop):
    """Send a test to an endpoint."""
    endpoint = await shop.make("webhooks", **await quiet_endpoint(shop))
    return Call(f"/admin/webhooks/{endpoint}/test", token=shop.admin)


async def redeliver(shop):
    """Send a test to an endpoint again."""
    test = await send_test(shop)
    delivery = (await test.send(shop.buyer.client, None)).json()["id"]
    return Call(test.path.replace("/test", f"/deliveries/{delivery}/redeliver"), token=shop.admin)


async def cancel_showtime(shop):
    """Cancel a showtime for ever."""
    _, showtime = await shop.showtime()
    body = {"reason": "the projector is broken"}
    return Call(f"/admin/showtimes/{showtime}/cancel", body, body | {"reason": "rain"}, shop.admin)


async def check_in(shop):
    """Let the holder of a ticket in."""
    booking = await shop.buy()
    (ticket,) = (await shop.buyer.call("GET", f"/bookings/{booking['id']}/tickets", 200))["items"]
    body = {"showtime_id": booking["showtime_id"], "gate": "North"}
    return Call(f"/admin/tickets/{ticket['code']}/check-in", body, body | {"gate": "South"}, shop.admin)


SCENARIOS = {
    "/showtimes/{showtime:int}/holds": claim,
    "/holds/{hold}/extend": extend,
    "/bookings": check_out,
    "/bookings/lookup": look_up,
    "/admin/notifications/{id:int}/retry": retry_notification,
    "/bookings/{booking}/cancel": cancel,
    "/bookings/{booking}/payments": pay,
    "/bookings/{booking}/refunds": give_back,
    "/admin/refunds/{refund}/retry": retry_refund,
    "/admin/refunds/{refund}/settle": settle_refund,
    "/payments/webhook": webhook,
    "/payments/simulate/{session}": simulate,
    "/auth/register": register,
    "/auth/login": login,
    "/auth/guest": become_guest,
    "/auth/refresh": refresh,
    "/admin/cinemas": make_cinema,
    "/admin/auditoriums": make_auditorium,
    "/admin/movies": make_movie,
    "/admin/showtimes": make_showtime,
    "/admin/showtimes/{showtime:int}/freeze": decide("freeze", whole_cinema=False),
    "/admin/showtimes/{showtime:int}/unfreeze": decide("unfreeze", whole_cinema=False),
    "/admin/freeze": decide("freeze", whole_cinema=True),
    "/admin/unfreeze": decide("unfreeze", whole_cinema=True),
    "/admin/showtimes/{showtime:int}/blocks": block,
    "/admin/tickets/{ticket}/check-in": check_in,
    "/admin/showtimes/{showtime:int}/cancel": cancel_showtime,
    "/admin/webhooks": make_endpoint,
    "/admin/webhooks/{id:int}/test": send_test,
    "/admin/webhooks/{id:int}/deliveries/{delivery:int}/redeliver": redeliver,
}
"""How each POST of the route table succeeds once."""
