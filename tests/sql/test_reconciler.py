"""What the webhook never told is asked for: every event once, by one worker at a time, and none is passed over."""

import asyncio

import pytest

from engine.errors import Refusal, Unavailable
from engine.limits import RECONCILE_GRACE_MS, RECONCILE_OVERLAP_MS
from engine.orders.gateways.protocol import NewSession, PaymentEvent, SessionOutcome
from engine.orders.payments import Payments
from engine.orders.reconciler import Reconciler, now_ms
from tests.ledgers import PRICE_MINOR
from tests.till import Seller, till

DUE = "UPDATE gateway_cursors SET due_at = now()"


def later():
    """A clock by which the webhook has had its time."""
    return now_ms() + RECONCILE_GRACE_MS + 1


class NoSeats:
    """A seat engine whose seats are all taken: money buys nothing."""

    async def sell_seats(self, *_, **__):
        raise Refusal("seats_taken")

    async def close_payment(self, _hold_id):
        return None


class Listing:
    """A gateway that lists what a test puts in."""

    name = "fake"

    def __init__(self):
        self.outcomes, self.asked = [], []

    def add(self, name, at_ms):
        """Say that a session failed."""
        event = PaymentEvent(id=f"evt_{name}", type="payment.failed", session_id=name)
        self.outcomes.append(SessionOutcome(event=event, at_ms=at_ms))

    async def list_outcomes(self, since_ms):
        self.asked.append(since_ms)
        await asyncio.sleep(0)
        return [outcome for outcome in self.outcomes if outcome.at_ms >= since_ms]


async def begun(world, start_ms):
    """Let the gateway have been asked until a time."""
    await world.pool.execute("INSERT INTO gateway_cursors VALUES ('fake', to_timestamp($1::bigint / 1000.0))", start_ms)


async def test_money_that_no_webhook_told_of_goes_back(world, tmp_path):
    """Every event is lost on its way; one round later the capture has its refund and the failure is known."""
    await world.intend(1, [1])
    await world.intend(2, [2])
    async with till(tmp_path, Seller(), faults="drop=1") as (gateway, _browser):
        for name, outcome in (("s1", "success"), ("s2", "failed")):
            await gateway.create_session(
                NewSession(
                    session_id=name, amount_minor=PRICE_MINOR, currency="IDR", description="", expires_at_ms=2**40
                )
            )
            await gateway.simulate(name, outcome)
        payments = Payments(NoSeats(), None, world.ledger, None, gateway, None)
        reconciler = Reconciler(world.pool, gateway, payments.take_event, later)
        await reconciler.reconcile_payments()
        assert await world.fetch("SELECT session_id, outcome FROM captures") == [("s1", "REFUND")]
        assert await world.fetch("SELECT session_id, reason FROM refunds") == [("s1", "seats_taken")]
        assert await world.fetch("SELECT session_id, status FROM payments ORDER BY 1") == [
            ("s1", "SUCCESS"),
            ("s2", "FAILED"),
        ]
        taken = []
        await world.pool.execute(DUE)
        await Reconciler(world.pool, gateway, taken.append, later).reconcile_payments()
        assert taken == []


async def test_young_events_are_left_to_the_webhook(world):
    """Only what the webhook had time for is taken, and the next round still sees the rest."""
    gateway, taken, now = Listing(), [], now_ms()
    await begun(world, now - 5000)
    gateway.add("old", now - RECONCILE_GRACE_MS - 1000)
    gateway.add("young", now)

    async def take(event):
        taken.append(event.session_id)

    await Reconciler(world.pool, gateway, take).reconcile_payments()
    assert taken == ["old"]
    await world.pool.execute(DUE)
    await Reconciler(world.pool, gateway, take, later).reconcile_payments()
    assert taken == ["old", "old", "young"]


async def test_one_worker_asks_at_a_time(world):
    """Several look at once: the gateway is asked once, and then not before the pause is over."""
    gateway = Listing()
    workers = [Reconciler(world.pool, gateway, None) for _ in range(4)]
    await asyncio.gather(*(worker.reconcile_payments() for worker in workers))
    await workers[0].reconcile_payments()
    assert len(gateway.asked) == 1
    await world.pool.execute(DUE)
    await workers[1].reconcile_payments()
    assert len(gateway.asked) == 2


async def test_an_event_that_was_not_taken_is_asked_for_again(world):
    """The ledger is away for one, another crashes: the others are taken, and the next round begins before both."""
    gateway, taken, start = Listing(), [], now_ms() - 600_000
    await begun(world, start)
    for number in range(12):
        gateway.add(f"s{number}", start + number * 1000)
    broken = {"s3": Unavailable("ledger_unavailable"), "s9": RuntimeError("a mistake"), "s5": Refusal("hold_damaged")}

    async def take(event):
        if error := broken.pop(event.session_id, None):
            raise error
        taken.append(event.session_id)
        await world.pool.execute(
            "INSERT INTO payment_events (gateway, event_id, type, session_id, body) VALUES ('fake', $1, '', '', '{}')",
            event.id,
        )

    await Reconciler(world.pool, gateway, take).reconcile_payments()
    assert sorted(set(range(12)) - {int(name[1:]) for name in taken}) == [3, 5, 9]
    await world.pool.execute(DUE)
    await Reconciler(world.pool, gateway, take).reconcile_payments()
    assert gateway.asked == [start - RECONCILE_OVERLAP_MS, start + 3000 - RECONCILE_OVERLAP_MS]
    assert len(taken) == len(set(taken)) == 12


async def test_a_worker_that_dies_leaves_its_turn_and_the_place(world):
    """Its events come again once its lease is over, from where the last finished round ended."""
    gateway, start = Listing(), now_ms() - 600_000
    await begun(world, start)
    gateway.add("s1", start + 1000)

    async def die(_event):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Reconciler(world.pool, gateway, die).reconcile_payments()
    (lease,) = (await world.fetch("SELECT due_at - now() FROM gateway_cursors"))[0]
    assert 10 < lease.total_seconds() <= 20
    await world.pool.execute(DUE)
    taken = []

    async def take(event):
        taken.append(event.session_id)

    await Reconciler(world.pool, gateway, take).reconcile_payments()
    assert taken == ["s1"]
