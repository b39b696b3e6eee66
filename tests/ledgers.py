"""A ledger with bookings and money in it, facts by hand, and a reader: what projector tests are made of."""

import asyncio
import json
from contextlib import asynccontextmanager
from uuid import UUID

import redis.asyncio

from engine.ledger.fact_stream import FactStreams
from engine.ledger.ledger import Ledger
from engine.ledger.reader import FactReader
from engine.ledger.records import BookedSeat, GatewayEvent, Intent
from engine.seats.ids import HoldId
from engine.seats.keys import partition_key, partition_of
from tests.databases import empty

NOW_MS = 1_800_000_000_000
SHOWTIME, OTHER_SHOWTIME = 42, 43
GENERATION = 1
PRICE_MINOR = 5_000_000
CHECKOUT = json.dumps(
    {"subject": "anna", "email": "anna@example.org", "currency": "IDR", "prices": {"REGULAR": PRICE_MINOR}}
)
DUMPED = {
    "bookings": "id, showtime_id, subject, email, status, status_reason, owner_number, amount_minor, expires_at",
    "booking_seats": "booking_id, seat_index, seat, tier, price_minor",
    "payments": "session_id, booking_id, status, amount_minor",
    "captures": "gateway, session_id, booking_id, amount_minor, currency, outcome",
    "tickets": "id, showtime_id, seat_index, seat, booking_id, session_id, sale_number, price_minor, status, sold_at, "
    "restock_due IS NULL",
    "refunds": "id, business_id, session_id, amount_minor, reason, status",
    "cases": "business_id, kind, showtime_id, booking_id, session_id",
    "facts": "showtime_id, generation, seq, kind, business_id, happened_at, data::text",
    "fact_heads": "showtime_id, generation, seq",
    "rebuilds": "showtime_id, reason, automatic",
}
"""What two ledgers are compared by: everything but the times at which something was written."""


async def describe(showtime, seats):
    """Stand in for the layouts: seat 7 is S7, and all are REGULAR."""
    return [(f"S{seat}", "REGULAR") for seat in seats]


def booking_id(owner, showtime=SHOWTIME):
    """Give the id of the booking that an owner number made."""
    return str(HoldId(claimed_at_ms=NOW_MS, owner=owner, showtime=showtime))


class World:
    """A database with two showtimes, and what happens there."""

    def __init__(self, pool, client):
        self.pool = pool
        self.redis = client
        self.ledger = Ledger(pool)

    async def begin(self):
        """Empty everything, and put the showtimes in."""
        async with self.pool.acquire() as connection:
            await empty(connection)
            await connection.execute(
                """
                INSERT INTO cities (slug, name, timezone) VALUES ('c', 'C', 'Asia/Jakarta');
                INSERT INTO cinemas (city_id, slug, name, timezone) VALUES (1, 'k', 'K', 'Asia/Jakarta');
                INSERT INTO layouts (digest, name, seat_count, tiers, body) VALUES ('d', 'L', 100, '{REGULAR}', '{}');
                INSERT INTO auditoriums (cinema_id, name, layout_id) VALUES (1, 'One', 1), (1, 'Two', 1);
                INSERT INTO movies (slug, title, duration_minutes) VALUES ('m', 'M', 100);
                INSERT INTO showtimes (id, auditorium_id, movie_id, layout_id, starts_at, ends_at, sales_open_at,
                                       sales_stop_at, prices, currency)
                OVERRIDING SYSTEM VALUE
                SELECT 41 + n, n, 1, 1, now() + interval '1 day', now() + interval '26 hours',
                       now() - interval '1 day', now() + interval '1 day', '{}', 'IDR' FROM generate_series(1, 2) AS n;
                """
            )

    def intent(self, owner, seats, showtime=SHOWTIME, session=None, **changes):
        """Give the payment intent of a booking; its session is `s<owner>`."""
        fields = {
            "booking_id": booking_id(owner, showtime),
            "showtime": showtime,
            "subject": "anna",
            "email": "anna@example.org",
            "phone": None,
            "locale": "id",
            "owner_number": owner,
            "claimed_at_ms": NOW_MS,
            "expires_at_ms": NOW_MS + 900_000,
            "now_ms": NOW_MS,
            "currency": "IDR",
            "seats": tuple(BookedSeat(seat, f"S{seat}", "REGULAR", PRICE_MINOR) for seat in seats),
            "gateway": "fake",
            "session_id": session or f"s{owner}",
        }
        return Intent(**(fields | changes))

    async def intend(self, owner, seats, showtime=SHOWTIME, **changes):
        """Record the intent of a booking."""
        begun = await self.ledger.record_intent(self.intent(owner, seats, showtime, **changes))
        return begun.payment, begun.created

    async def pay(self, owner, amount_minor, session=None, **changes):
        """Tell the ledger of a payment; gives its judgement."""
        fields = {
            "gateway": "fake",
            "event_id": f"evt-{session or owner}",
            "type": "payment.success",
            "session_id": session or f"s{owner}",
            "amount_minor": amount_minor,
            "currency": "IDR",
            "body": {},
        }
        return await self.ledger.record_event(GatewayEvent(**(fields | changes)))

    async def paid(self, owner, seats, showtime=SHOWTIME):
        """Record the intent and the payment of a booking; gives the fact of its sale without a seq."""
        await self.intend(owner, seats, showtime)
        await self.pay(owner, PRICE_MINOR * len(seats))
        return sold_fact(owner, seats, showtime)

    async def append(self, *facts):
        """Append facts to their streams as the scripts do; gives the stream ids."""
        entries = []
        for fact in facts:
            fields = {name: json.dumps(value) if name == "data" else value for name, value in fact.items()}
            key = partition_key(partition_of(int(fact["showtime"])), "facts")
            entries.append(await self.redis.xadd(key, fields))
        return entries

    async def dump(self):
        """Give all rows that two equal ledgers share."""
        async with self.pool.acquire() as connection:
            return {
                table: [tuple(row) for row in await connection.fetch(f"SELECT {columns} FROM {table} ORDER BY 1, 2, 3")]
                for table, columns in DUMPED.items()
            }

    async def fetch(self, sql, *values):
        """Look into the ledger."""
        async with self.pool.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *values)]

    async def drained(self, showtime=SHOWTIME, timeout_s=10):
        """Wait until nothing of the showtime's partition is unread or unacknowledged."""
        streams, partition = FactStreams(self.redis), partition_of(showtime)

        async def look():
            position = await streams.position(partition)
            return position.applied(position.end)

        await eventually(look, timeout_s)


def sold_fact(owner, seats, showtime=SHOWTIME, seq=0, *, late=False, session=None):
    """Give the fact of a sale."""
    data = {
        "booking": booking_id(owner, showtime),
        "gateway": "fake",
        "session": session or f"s{owner}",
        "sale": owner,
        "late": late,
        "seats": list(seats),
    }
    return fact_of("seats_sold", data["session"], data, showtime, seq)


def ended_fact(owner, seats, showtime=SHOWTIME, seq=0, *, kind="booking_expired", reason="payment_timeout"):
    """Give the fact of a booking's end without a sale."""
    data = {
        "booking": booking_id(owner, showtime),
        "owner": owner,
        "claimed_at_ms": NOW_MS,
        "deadline_ms": NOW_MS + 900_000,
        "seats": list(seats),
        "reason": reason,
        "checkout": CHECKOUT,
    }
    return fact_of(kind, data["booking"], data, showtime, seq)


def restocked_fact(owner, seats, showtime=SHOWTIME, seq=0):
    """Give the fact of seats that went back to stock."""
    data = {"booking": booking_id(owner, showtime), "sale": owner, "seats": list(seats)}
    return fact_of("seats_restocked", f"restock:{owner}", data, showtime, seq)


def fact_of(kind, name, data, showtime=SHOWTIME, seq=0):
    """Give any fact as it lies in the stream."""
    fact = {"kind": kind, "showtime": showtime, "generation": GENERATION, "seq": seq, "id": name, "at": NOW_MS}
    return fact | {"data": data, "trace": ""}


def numbered(facts):
    """Give the facts with the seqs that their showtimes would have given them."""
    last = {}
    for fact in facts:
        last[fact["showtime"]] = last.get(fact["showtime"], 0) + 1
        fact["seq"] = last[fact["showtime"]]
    return facts


@asynccontextmanager
async def reading_facts(world, database_url, redis_url, **options):
    """Run a reader with a client of its own, as in a process of its own."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        reader = FactReader(database_url, client, options.pop("describe", describe), **options)
        task = asyncio.create_task(reader.run())
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def eventually(look, timeout_s=10):
    """Wait until an awaited look is true."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not await look():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def as_uuid(owner, showtime=SHOWTIME):
    """Give a booking's id as PostgreSQL does."""
    return UUID(booking_id(owner, showtime))


async def is_delivered(streams, entry):
    """Whether the reader has taken an entry of SHOWTIME's stream."""
    return (await streams.position(partition_of(SHOWTIME))).delivered >= entry
