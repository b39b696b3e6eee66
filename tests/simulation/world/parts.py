"""The two kinds of processes, built of the engine's own classes as `engine/runtime.py` and `engine/worker.py` do."""

import json
from collections import defaultdict
from types import SimpleNamespace
from uuid import UUID

from engine.cancelling import Cancelling
from engine.catalogue.catalogue import Catalogue
from engine.duties import Duties
from engine.ledger.generations import Generations
from engine.ledger.ledger import Ledger
from engine.ledger.outcomes import Outcomes
from engine.ledger.reader import FactReader
from engine.ledger.restore import Restorer
from engine.ledger.turns import Turns
from engine.orders.belongings import Belongings
from engine.orders.bookings import Bookings
from engine.orders.payments import Payments
from engine.orders.reconciler import Reconciler
from engine.orders.refunds import Refunds
from engine.orders.ticket_refunds import TicketRefunds
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from engine.worker import layout_reader, repeat
from tests.simulation.world.bank import BankClient
from tests.simulation.world.postgres import Pool
from tests.simulation.world.redis_client import Client, SimulatedLane

SETTINGS = SimpleNamespace(
    hold_ttl_s=600,
    payment_ttl_s=900,
    hold_max_s=1800,
    claim_max_s=2700,
    seats_per_hold_max=10,
    holds_per_customer_max=2,
    seats_per_customer_max=20,
    refund_tiers="24h:100,2h:50",
)
REFUND_RETRY_MIN_MS = 500
TICK_MS = 2_500
"""How often duties look; more seldom than in the engine, since looking in vain takes most of a story's time."""
READERS = 2
SCRIPTS = load_scripts((7,))
LAYOUT_ID = 1
TIER, PRICE_MINOR = "REGULAR", 5_000_000


class InOrder(dict):
    """A set that is gone through in one order, so that a seed repeats itself."""

    def add(self, one):
        self[one] = True

    def discard(self, one):
        self.pop(one, None)


class Parts:
    """What an API process and a worker have in common."""

    def __init__(self, process, world):
        self.process, self.world = process, world
        self.pool = pool = Pool(world.postgres, process, process.name)
        self.ledger = ledger = Ledger(pool)
        self.redis = Client(world.redis, process)
        self.lane = lane = SimulatedLane(world.redis, process, Generations(pool).identify)
        self.catalogue = catalogue = Catalogue(pool, SETTINGS)
        for memory in (catalogue._showtimes, catalogue._layouts):
            memory._clock = world.loop.time
        self.seats = seats = SeatEngine(lane, SCRIPTS, self._restore)
        self.restorer = Restorer(pool, self.redis, seats, catalogue)
        self.outcomes = Outcomes(self.redis, ledger)
        self.outcomes._waiters = defaultdict(InOrder)
        gateway = BankClient(world.bank, process)
        self.bookings = Bookings(seats, catalogue, ledger, Belongings(seats, ledger))
        self.ticket_refunds = TicketRefunds(ledger, seats, self.bookings, SETTINGS.refund_tiers)
        self.refunds = Refunds(ledger, gateway, REFUND_RETRY_MIN_MS)
        self.payments = Payments(seats, catalogue, ledger, self.outcomes, gateway, self.refunds)
        self.reconciler = Reconciler(
            pool, gateway, self.payments.take_event, clock=lambda: world.clock.time_ns() // 10**6
        )

    async def _restore(self, showtime, why, said_ms):
        self.world.note("restore", showtime, why, "by", self.process.name)
        await self.restorer.restore(showtime, why, said_ms)

    async def open(self):
        """Begin what runs beside the requests."""
        await self.outcomes.start()
        self.process.run(self.lane.keep_connected())


class Api(Parts):
    """An API process: its requests are tasks of its own."""


class Worker(Parts):
    """A worker: two readers, and the duties of engine/worker.py that decide about seats and money."""

    async def work(self):
        """Run until the process is killed."""
        await self.open()
        turns, describe = Turns(), layout_reader(self.catalogue)
        numbers = [UUID(int=self.world.rng.getrandbits(128)) for _ in range(READERS)]
        readers = [FactReader("", self.redis, describe, worker=number, turns=turns) for number in numbers]
        duties = Duties(
            self.ledger,
            self.seats,
            self.restorer,
            self.redis,
            self.payments.settle_capture,
            lambda: [partition for reader in readers for partition in reader.partitions],
        )
        for reader in readers:
            self.process.run(reader.run())
        for duty in (
            duties.expire_holds,
            duties.rebuild_showtimes,
            duties.settle_captures,
            duties.restock_seats,
            Cancelling(self.ledger, self.seats).work_off_cancellations,
            self.refunds.send_refunds,
            self.reconciler.reconcile_payments,
            duties.expire_bookings,
            duties.find_lost_facts,
        ):
            self.process.run(repeat(duty, TICK_MS))


def layout_row(seats):
    """Give a hall of one row as the ledger has it."""
    body = [
        [f"A{seat + 1}", "A", str(seat + 1), TIER, "main", 10.0 * seat, 10.0, False, False] for seat in range(seats)
    ]
    return {"id": LAYOUT_ID, "name": "Hall", "body": json.dumps({"width": 1000.0, "height": 50.0, "seats": body})}
