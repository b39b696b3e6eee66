"""A fake gateway over a folder, and a seller that hears of its events."""

import asyncio
import contextlib
import json
import time

import httpx

from api.fake_gateway.app import create_app
from api.fake_gateway.faults import parse_faults
from engine.errors import Refusal
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.protocol import NewSession
from engine.orders.gateways.signatures import SIGNATURE_HEADER, verify

SECRET = "secret"


class Seller(httpx.AsyncBaseTransport):
    """Stands for our API: notes each event that it is told of, and answers as it is set to."""

    def __init__(self):
        self.answers = []
        self.events = []
        self.forgeries = []
        self.raw = []
        self.heard = asyncio.Event()

    async def handle_async_request(self, request):
        body = await request.aread()
        try:
            verify((SECRET,), request.headers.get(SIGNATURE_HEADER), body, time.time())
        except Refusal:
            self.forgeries.append(json.loads(body))
            self.heard.set()
            return httpx.Response(401)
        self.events.append(json.loads(body))
        self.raw.append((request.headers, body))
        self.heard.set()
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            raise httpx.ConnectError("away")
        return httpx.Response(answer)

    async def until(self, count):
        """Wait until so many events were told."""
        while len(self.events) < count:
            self.heard.clear()
            await asyncio.wait_for(self.heard.wait(), 5)


class Clock:
    """Time that a test can move."""

    def __init__(self):
        self.ahead_ms = 0

    def __call__(self):
        return time.time_ns() // 1_000_000 + self.ahead_ms


@contextlib.asynccontextmanager
async def till(folder, seller, clock=None, faults=""):
    """Run a fake gateway over a folder; gives our client of it, and a browser."""
    app = create_app(
        data_dir=folder,
        public_url="http://till",
        webhook_url="http://seller/webhook",
        webhook_secret=SECRET,
        faults=parse_faults(faults),
        transport=seller,
        clock=clock or Clock(),
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://till") as browser,
    ):
        gateway = FakeGateway("http://till", SECRET, transport)
        yield gateway, browser
        await gateway.close()


def session(session_id="sess_1", *, ttl_s=60, **values):
    """Describe a payment of two seats."""
    return NewSession(
        session_id=session_id,
        amount_minor=15000000,
        currency="IDR",
        description="Two seats",
        expires_at_ms=time.time_ns() // 1_000_000 + ttl_s * 1000,
        **values,
    )
