"""The ledger in memory is held against PostgreSQL: the same random calls, the same answers, the same rows."""

import asyncio
import json
import random
import time
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import msgspec

from engine.errors import SeatlockError
from engine.ledger.database import prepare_connection
from engine.ledger.facts import decode_fact
from engine.ledger.ledger import Ledger
from engine.ledger.projector import project
from engine.ledger.records import AttemptAnswer, GatewayEvent
from tests import ledgers
from tests.simulation.world.chaos import Chaos
from tests.simulation.world.postgres import Pool, Server
from tests.simulation.world.process import Process
from tests.simulation.world.tables import Row, moment_of

GAMES, CALLS = 6, 60
OWNERS = range(1, 9)
ROWS = {
    "bookings": ("id", "status", "status_reason", "amount_minor", "subject"),
    "payments": ("session_id", "status", "failure_code", "payment_url"),
    "captures": ("session_id", "outcome", "amount_minor"),
    "tickets": ("id", "seat_index", "status", "sale_number", "price_minor"),
    "refunds": ("business_id", "amount_minor", "status", "attempts", "reason", "failure_code"),
    "refund_tickets": ("amount_minor",),
    "cases": ("business_id", "kind"),
    "fact_heads": ("seq",),
    "rebuilds": ("showtime_id", "automatic"),
}


class RealTime:
    """The loop of a test with the clock of a simulated one."""

    def __getattr__(self, name):
        return getattr(asyncio.get_running_loop(), name)

    def unix_s(self):
        return time.time()


def in_memory():
    """Give a ledger in memory where nothing goes wrong, with the showtimes of `tests/ledgers.py`."""
    world = SimpleNamespace(loop=RealTime(), chaos=Chaos(random.Random(1), 0), note=lambda *_: None)
    world.chaos.latency = lambda _: 0
    world.passed = lambda _: None
    world.crashed = lambda where, what: (_ for _ in ()).throw(AssertionError(f"{where}: {what}"))
    server = Server(world)
    now = moment_of(time.time())
    for number in (ledgers.SHOWTIME, ledgers.OTHER_SHOWTIME):
        later = moment_of(time.time() + 90_000)
        row = Row(id=number, status="OPEN", starts_at=later, ends_at=later, policy={}, cinema_policy={}, load_count=0)
        server.tables["showtimes"][number] = row | {"sales_open_at": now}
        server.tables["showtimes"][number] = Row(server.tables["showtimes"][number])
    return server, Pool(server, Process(world, "test"), "test")


class Player:
    """One of the two ledgers, and the calls of the game on it."""

    def __init__(self, pool):
        self.pool, self.ledger = pool, Ledger(pool)

    async def play(self, name, *args):
        """Make one call; give what both ledgers must agree on."""
        try:
            return plain(await getattr(self, name)(*args))
        except SeatlockError as error:
            return error.code
        except asyncpg.PostgresError as error:
            return type(error).__name__

    async def intent(self, owner, seats, session):
        return (await self.ledger.record_intent(intent(owner, seats, session))).payment

    async def event(self, number, type, session, amount):
        told = {"gateway": "fake", "session_id": session, "amount_minor": amount, "currency": "IDR"}
        return await self.ledger.record_event(GatewayEvent(event_id=f"e{number}", type=type, body={}, **told))

    async def refuse(self, session, reason):
        return await self.ledger.refuse_capture("fake", session, reason)

    async def fact(self, kind, seq, name, data):
        fields = {"kind": kind, "showtime": ledgers.SHOWTIME, "generation": 1, "seq": seq, "id": name}
        fields |= {"at": ledgers.NOW_MS, "data": json.dumps(data)}
        coded = {key.encode(): str(value).encode() for key, value in fields.items()}
        connection = await self.pool.acquire()
        try:
            done = await project(connection, [decode_fact(0, b"%d-1" % seq, coded)], ledgers.describe)
        finally:
            await self.pool.release(connection)
        return [len(done.done), len(done.parked), done.sessions]

    async def cancel(self, booking):
        return await self.ledger.cancel_booking(booking, "anna")

    async def expire(self, booking):
        return await self.ledger.expire_booking(booking)

    async def give_back(self, booking, how_many):
        def decide(case):
            sold = [ticket for ticket in case.tickets if ticket.status == "SOLD"][:how_many]
            if not sold:
                raise SeatlockError("nothing_to_give_back")
            return {ticket.id: ticket.price_minor for ticket in sold}

        return (await self.ledger.refund_tickets(booking, "anna", decide, "")).booking

    async def read(self, booking):
        return await self.ledger.read_booking(booking)

    async def ask_gateway(self, outcome):
        due = sorted(await self.ledger.take_refunds("fake", 50), key=lambda refund: refund.id)
        answer = AttemptAnswer(outcome=outcome, gateway_refund="g")
        return [await self.ledger.end_attempt(refund.id, refund.attempt, answer, 10**6) for refund in due]

    async def cancel_showtime(self):
        await self.ledger.cancel_showtime("admin", ledgers.SHOWTIME, "why")
        await self.ledger.close_cancellation(ledgers.SHOWTIME)
        return await self.work_off()

    async def work_off(self):
        number = ledgers.SHOWTIME
        done = [await self.ledger.cancel_unpaid(number, 50), await self.ledger.refund_paid(number, 50)]
        done.append(await self.ledger.top_up_refunds(number, 50))
        return [*done, await self.ledger.finish_cancellation(number)]


def intent(owner, seats, session):
    """Give the intent of an owner."""
    return ledgers.World(None, None).intent(owner, seats, session=session)


def plain(value):
    """Give an answer as JSON without times."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if not key.endswith("_ms")}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return plain(msgspec.to_builtins(value)) if isinstance(value, msgspec.Struct) else value


def draw_call(rng, number, seats_of, seqs):
    """Draw one call: its name and arguments."""
    owner = rng.choice(OWNERS)
    seats, booking, session = seats_of[owner], ledgers.booking_id(owner), f"s{owner}{rng.choice(('', '', 'again'))}"
    amount = ledgers.PRICE_MINOR * len(seats)
    what = rng.randrange(16)
    if what < 3:
        return "intent", owner, seats, session
    if what < 6:
        kind = rng.choice(("success", "success", "success", "failed", "expired"))
        return "event", number, f"payment.{kind}", rng.choice((session, session, session, "strange")), amount
    if what < 10:
        sale = {"booking": booking, "gateway": "fake", "session": session, "sale": owner, "late": False, "seats": seats}
        restock = {"booking": booking, "sale": owner, "seats": seats}
        ended = {"booking": booking, "owner": owner, "claimed_at_ms": ledgers.NOW_MS, "deadline_ms": ledgers.NOW_MS}
        ended |= {"seats": seats, "reason": "customer", "checkout": ledgers.CHECKOUT}
        facts = [("seats_sold", session, sale)] * 3 + [
            ("seats_restocked", f"r{number}", restock),
            ("booking_cancelled", booking, ended),
        ]
        kind, name, data = rng.choice(facts)
        return "fact", kind, rng.choice((seqs, seqs, seqs, max(seqs - 1, 1), seqs + 1)), name, data
    others = (
        ("refuse", session, "seats_taken"),
        ("cancel", booking),
        ("expire", booking),
        ("give_back", booking, rng.choice((1, 9))),
        ("read", booking),
        ("ask_gateway", rng.choice(("SETTLED", "PENDING", "FAILED", "UNKNOWN"))),
        ("cancel_showtime",) if rng.random() < 0.1 else ("read", booking),
    )
    return rng.choice(others)


async def rows_of(player, tables):
    """Give the rows of a ledger, sorted, without times."""
    found = {}
    for name, columns in ROWS.items():
        if tables is None:
            rows = await player.pool.fetch(f"SELECT {', '.join(columns)} FROM {name}")
        else:
            rows = [[row["showtime_id"] if column == "showtime_id" else row[column] for column in columns]
                    for row in tables[name].values()]  # fmt: skip
        found[name] = sorted([str(one) if isinstance(one, UUID) else one for one in row] for row in map(tuple, rows))
        found[name] = sorted(found[name], key=repr)
    return found


async def test_the_ledger_in_memory_answers_as_postgresql_does(database_url):
    """Random sales, refusals, refunds and cancellations lead to the same answers and rows in both."""
    pool = await asyncpg.create_pool(database_url, min_size=1, max_size=2, init=prepare_connection)
    words = set()
    async with pool:
        for seed in range(GAMES):
            await ledgers.World(pool, None).begin()
            server, memory = in_memory()
            real, simulated = Player(pool), Player(memory)
            rng, seqs = random.Random(seed), 1
            seats_of = {owner: sorted(rng.sample(range(6), rng.randint(1, 2))) for owner in OWNERS}
            for number in range(CALLS):
                name, *args = draw_call(rng, number, seats_of, seqs)
                answers = [await player.play(name, *args) for player in (real, simulated)]
                assert answers[0] == answers[1], (seed, number, name, args)
                seqs += int(name == "fact" and args[1] == seqs)
                words.add((name, str(answers[0])[:40]))
            assert await rows_of(real, None) == await rows_of(simulated, server.tables), seed
    assert len(words) > 40, "the games are too much alike"
