"""The engine without HTTP: one process' runtime over real servers, and the way of a sale in a few calls."""

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import uuid4

from engine.duties import Duties
from engine.ledger.reader import FactReader
from engine.ledger.records import GatewayEvent
from engine.redis_clients import open_redis
from engine.runtime import open_runtime
from engine.seats.ids import parse_hold_id
from engine.worker import layout_reader
from tests.small_catalogue import PRICES

ANNA, BUDI = "6f1c2b7a-4a7e-4b7e-9d39-0d6f4f4b7a11", "guest:budi"


class House:
    """A runtime, its small catalogue, and what customers do there. Seats are indexes of the first hall: 0 to 39."""

    def __init__(self, runtime, small):
        self.runtime = runtime
        self.small = small
        self.showtime = small.showtime
        self.seats, self.ledger = runtime.seats, runtime.ledger
        self.duties = Duties(
            runtime.ledger,
            runtime.seats,
            runtime.restorer,
            runtime.redis,
            runtime.orders.payments.settle_capture,
            lambda: range(64),
        )

    async def check_out(self, seats, subject=ANNA, hold=None):
        """Claim seats, unless `hold` has them, and check them out; gives the hold."""
        hold = hold or await self.seats.claim_seats(self.showtime, subject, seats)
        checkout = {"subject": subject, "email": "a@example.org", "phone": None, "locale": "id", "currency": "IDR"}
        checkout["prices"] = PRICES
        hold, _ = await self.seats.check_out(parse_hold_id(hold.id), subject, json.dumps(checkout).encode())
        return hold

    async def pay(self, seats, subject=ANNA, hold=None):
        """Bring a booking to where its money is durable and no seat is sold yet; gives the capture."""
        hold = await self.check_out(seats, subject, hold)
        hold = await self.seats.open_payment(parse_hold_id(hold.id), subject)
        intent = await self.intend(hold, subject)
        await self.ledger.record_intent(intent)
        event = GatewayEvent(
            gateway="fake",
            event_id=uuid4().hex,
            type="payment.success",
            session_id=intent.session_id,
            amount_minor=intent.amount_minor,
            currency="IDR",
            body={},
        )
        judgement = await self.ledger.record_event(event)
        assert judgement.verdict == "sell"
        return judgement.capture

    async def intend(self, hold, subject=ANNA):
        """Give the intent of a new session for a checked-out hold."""
        return await self.runtime.orders.payments.intend(hold, subject)

    async def sell(self, seats, subject=ANNA):
        """Sell seats; gives the capture. A worker brings it into the ledger."""
        capture = await self.pay(seats, subject)
        await self.runtime.orders.payments.settle_capture(capture)
        return capture

    async def outcome(self, capture, timeout_ms=10_000):
        """Wait for what becomes of money."""
        return await self.runtime.outcomes.wait(capture.gateway, capture.session_id, timeout_ms)

    async def ticketed(self, seats, subject=ANNA):
        """Sell seats and wait for the tickets; needs a worker."""
        capture = await self.sell(seats, subject)
        assert await self.outcome(capture) == "TICKETS"
        return capture

    async def map(self):
        """Give the sets of sold, locked and blocked seats."""
        seats = await self.seats.read_seats(self.showtime)
        return tuple(
            {seat for seat in range(seats.seats) if bits[seat >> 3] & 0x80 >> (seat & 7)}
            for bits in (seats.sold, seats.locked, seats.blocked)
        )

    async def fetch(self, sql, *values):
        """Look into the ledger."""
        async with self.runtime.pool.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

    @asynccontextmanager
    async def worker(self, **options):
        """Read facts as a worker of its own."""
        settings = self.runtime.settings
        async with open_redis(settings.redis_url) as client:
            reader = FactReader(settings.database_url, client, layout_reader(self.small.catalogue), **options)
            task = asyncio.create_task(reader.run())
            try:
                yield reader
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def open_house(settings, small):
    """Open a house; it is ready when the lane knows its Redis."""
    async with open_runtime(settings, "api") as runtime:
        yield House(runtime, small)
