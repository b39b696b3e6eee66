"""A quiet corner of a running world: showtimes that its buyers do not know, for schedules played step by step.

What is paid here is paid at the world's gateway, so that the books are compared with it too.
"""

import asyncio
import contextlib
import json
import time
from itertools import count
from uuid import uuid4

import httpx

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.policies import PolicyOverrides
from engine.errors import Unavailable
from engine.ledger.database import open_pool
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from engine.seats.keys import showtime_prefix
from tests.flow.town import WEBHOOK_SECRET, Customer
from tests.small_catalogue import OTHER_HALL

SEATS = [f"{row[0]}{number}" for row in OTHER_HALL for number in range(1, 5)]
"""X1 to Y4, all REGULAR."""
CALM = {"hold_ttl_s": 60, "payment_ttl_s": 120, "hold_max_s": 120, "claim_max_s": 1200, "holds_per_customer_max": 20}
SETTLED_S = 60
"""So long after healing every capture has its outcome."""
_days = count(400)


async def open_showtime(world, **policy) -> int:
    """Put a showtime of 8 seats on, with time to think; gives its number.

    Args:
        world: it is put on in its second hall.
        policy: numbers of `PolicyOverrides`, e.g. `payment_ttl_s=1`.
    """
    pool = await open_pool(world.town.settings)
    try:
        desk = Catalogue(pool, world.town.settings)
        small = world._small
        small.catalogue = desk
        rules = PolicyOverrides(**CALM | policy)
        return await small.add_showtime(days=next(_days), auditorium=small.other_auditorium, policy=rules)
    finally:
        pool.terminate()


@contextlib.asynccontextmanager
async def gateway(world):
    """Give a client of the fake gateway with our secret."""
    client = FakeGateway(world.town.gateway_url, WEBHOOK_SECRET)
    try:
        yield client
    finally:
        await client.close()


async def capture(world, payment, outcome="success"):
    """Let a session end at the gateway, which tells our webhook; gives the status of its answer, None for none."""
    async with gateway(world) as till:
        return (await till.simulate(payment["session_id"], outcome)).webhook_status


async def tell(api, kind, payment, *, secret=WEBHOOK_SECRET, age_s=0, **changes) -> httpx.Response:
    """Tell one API of a payment in the gateway's name; fields of the event may be other than they should."""
    event = {
        "id": f"evt_{uuid4().hex}",
        "type": f"payment.{kind}",
        "session_id": payment["session_id"],
        "amount": payment["amount"],
        "currency": payment["currency"],
    }
    body = json.dumps(event | changes).encode()
    headers = {SIGNATURE_HEADER: sign(secret, body, int(time.time()) - age_s)}
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=20) as client:
        return await client.post(f"{api.url}/api/v1/payments/webhook", content=body, headers=headers)


@contextlib.asynccontextmanager
async def at(api, buyer):
    """Give the same customer as a caller of another API."""
    headers = dict(buyer.client.headers)
    base = f"{api.url}/api/v1"
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False, verify=False, timeout=20) as client:
        yield Customer(client, buyer.subject)


async def claim_once(api, buyer, showtime, seat, key=None):
    """Claim one seat, once for each key; give the status, None without an answer."""
    headers = {"Idempotency-Key": key or uuid4().hex}
    async with at(api, buyer) as same:
        with contextlib.suppress(httpx.TransportError):
            answer = await same.client.post(f"/showtimes/{showtime}/holds", json={"seats": [seat]}, headers=headers)
            return answer.status_code
    return None


async def ends(world, buyer, booking, *statuses):
    """Read a booking, through any trouble, until it has one of the statuses; give it."""

    async def look():
        try:
            answer = await buyer.client.get(f"/bookings/{booking['id']}")
        except httpx.TransportError:
            return None
        shown = answer.json() if answer.status_code == 200 else {}
        return shown if shown.get("status") in statuses else None

    return await world.until(look, f"{booking['id']} in {statuses}", SETTLED_S)


async def rows(world, sql, *values):
    """Read the ledger past all of our own code, whatever has just become of it."""
    async with world.ledger() as connection:
        return [dict(row) for row in await connection.fetch(sql, *values)]


async def money_back(world, session_ids):
    """Give what goes back of some sessions: {session: minor units}."""
    found = await rows(
        world,
        "SELECT session_id, sum(amount_minor)::bigint AS back FROM refunds WHERE session_id = ANY ($1) GROUP BY 1",
        list(session_ids),
    )
    return {row["session_id"]: row["back"] for row in found}


async def forget(world, showtime):
    """Delete all keys of a showtime, as if Redis had lost them; gives how many there were."""
    async with world.keys() as keys:
        names = [name async for name in keys.scan_iter(f"{showtime_prefix(showtime)}*", count=1000)]
        return await keys.delete(*names) if names else 0


async def settle_down(*tasks):
    """Wait for tasks that may have met a part that is away; any other failure rises."""
    for ending in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ending, BaseException) and not isinstance(ending, httpx.TransportError | Unavailable):
            raise ending
