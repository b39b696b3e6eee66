"""Settling money, with stand-ins for the seat engine and the ledger: what leads to what, and what is waited for."""

import asyncio

import msgspec
import pytest

from engine.catalogue.floor_plans import draw_layout
from engine.errors import Refusal, Unavailable
from engine.ledger.records import Begun, Capture, Judgement, Payment
from engine.orders.gateways.protocol import PaymentEvent
from engine.orders.payments import NEVER_TICKETS, Payments
from engine.orders.records import Checkout
from engine.seats.ids import HoldId
from engine.seats.records import Hold

BOOKING = str(HoldId(1_800_000_000_000, 7, 42))
CAPTURE = Capture(
    gateway="fake",
    session_id="sess_1",
    amount_minor=100,
    currency="IDR",
    captured_at_ms=0,
    outcome=None,
    booking_id=BOOKING,
    showtime=42,
    subject="someone",
    seats=(1, 2),
)
SELL = Judgement(verdict="sell", newest=True, booking_id=BOOKING, capture=CAPTURE)


HOLD = Hold(
    id=BOOKING,
    showtime=42,
    owner=7,
    status="PENDING",
    seats=(1, 2),
    claimed_at_ms=0,
    deadline_ms=900_000,
    extensions_left=0,
    extendable_until_ms=0,
    payment_open=True,
    subject_key=b"",
    checkout=msgspec.json.encode(
        Checkout(
            subject="someone", email="a@b.example", phone=None, locale="id", currency="IDR", prices={"REGULAR": 50}
        )
    ),
    version=1,
    now_ms=0,
)


def payment_of(intent):
    """Give the payment that the ledger makes of an intent."""
    return Payment(
        session_id=intent.session_id,
        gateway=intent.gateway,
        booking_id=intent.booking_id,
        status="PENDING",
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        payment_url=None,
        return_url=intent.return_url,
        cancel_url=intent.cancel_url,
        failure_code=None,
        expires_at_ms=intent.expires_at_ms,
        created_at_ms=0,
    )


class Shelf:
    """Stands for the catalogue, and for its only showtime."""

    layout_id = 1
    currency = "IDR"
    prices = {"REGULAR": 50}  # noqa: RUF012 (nobody changes it)
    movie = "The Test"
    cinema = "Test"

    async def showtime(self, number):
        return self

    async def layout(self, layout_id):
        return draw_layout("hall", ["A RRRR"])


class Stage:
    """Plays seat engine, ledger, outcomes and gateway; notes what is asked of each, in order."""

    name = "fake"
    pool = None

    def __init__(self, judgement=SELL, *, refusal=None, outcome="TICKETS"):
        self.judgement = judgement
        self.refusal = refusal
        self.outcome = outcome
        self.done = []
        self.selling = asyncio.Event()
        self.may_sell = asyncio.Event()
        self.may_sell.set()

    def read_event(self, headers, body, now_s):
        return PaymentEvent(id="evt_1", type="payment.success", session_id="sess_1", amount_minor=100, currency="IDR")

    async def record_event(self, event):
        self.done.append("record_event")
        return self.judgement

    async def sell_seats(self, hold_id, subject, *, gateway, session_id, seats):
        self.selling.set()
        await self.may_sell.wait()
        self.done.append("sell_seats")
        assert (str(hold_id), subject, gateway, session_id, seats) == (BOOKING, "someone", "fake", "sess_1", (1, 2))
        if self.refusal:
            raise self.refusal

    async def refuse_capture(self, gateway, session_id, reason):
        self.done.append(f"refuse_capture {reason}")
        return "REFUND"

    async def wait(self, gateway, session_id):
        self.done.append("wait")
        return self.outcome

    async def close_payment(self, hold_id, request):
        self.done.append("close_payment")
        assert request.id.startswith("close:sess_")

    async def release_hold(self, hold_id, subject, ending, reason):
        self.done.append(f"release_hold {subject} {ending} {reason}")

    async def expire_booking(self, booking_id):
        self.done.append("expire_booking")
        return True

    async def open_payment(self, hold_id, subject):
        self.done.append("open_payment")
        return HOLD

    async def recall_payment(self, request):
        return None

    async def record_intent(self, intent, request):
        self.done.append("record_intent")
        self.intent = intent
        return Begun(payment_of(intent), created=True)

    async def create_session(self, session):
        self.done.append("create_session")
        if self.refusal:
            raise self.refusal
        return f"http://till/{session.session_id}"

    async def store_payment_url(self, session_id, payment_url):
        self.done.append(f"store_payment_url {payment_url == f'http://till/{session_id}'}")

    async def fail_payment(self, gateway, session_id, failure_code):
        self.done.append(f"fail_payment {failure_code}")

    async def close(self):
        self.done.append("close")


def payments(stage):
    """Build payments on a stage."""
    return Payments(stage, Shelf(), stage, stage, stage, stage)


async def handle(stage):
    """Let an event come in."""
    return await payments(stage).handle_event({}, b"", 0)


@pytest.mark.covers("004.14")
async def test_the_intent_is_in_the_ledger_before_the_gateway_is_asked():
    """Seats are fixed, then written down with buyer, prices and our own session id; only then money may move."""
    stage = Stage()
    begun = await payments(stage).begin_payment(BOOKING, "someone")
    assert stage.done == ["open_payment", "record_intent", "create_session", "store_payment_url True"]
    assert (begun.created, begun.payment.payment_url) == (True, f"http://till/{stage.intent.session_id}")
    assert (stage.intent.amount_minor, stage.intent.expires_at_ms, stage.intent.email) == (100, 900_000, "a@b.example")


async def test_a_gateway_that_is_away_leaves_the_intent():
    """It may have opened the session, so the payment stays as it is and is asked for again."""
    stage = Stage(refusal=Unavailable("gateway_unavailable"))
    with pytest.raises(Unavailable):
        await payments(stage).begin_payment(BOOKING, "someone")
    assert stage.done == ["open_payment", "record_intent", "create_session"]


async def test_a_gateway_that_refuses_a_session_has_failed_it():
    """It will never open this one: the payment is FAILED, and the seats may be changed again."""
    stage = Stage(refusal=Refusal("not_payable"))
    with pytest.raises(Refusal):
        await payments(stage).begin_payment(BOOKING, "someone")
    assert stage.done[-2:] == ["fail_payment gateway_refused", "close_payment"]


async def test_money_is_recorded_before_a_seat_is_sold_and_the_outcome_awaited():
    """The order is: ledger, seats, ledger again."""
    stage = Stage()
    await handle(stage)
    assert stage.done == ["record_event", "sell_seats", "wait"]


@pytest.mark.parametrize("code", NEVER_TICKETS)
async def test_a_sale_that_can_never_be_becomes_a_refund(code):
    """The refusals that no later try can turn are told to the ledger, which owes the money then."""
    stage = Stage(refusal=Refusal(code))
    await handle(stage)
    assert stage.done == ["record_event", "sell_seats", f"refuse_capture {code}"]


@pytest.mark.parametrize(
    "error", [Unavailable("redis_unavailable"), Unavailable("showtime_frozen"), Refusal("surprise")]
)
async def test_what_may_be_turned_is_never_a_refund(error):
    """An engine that is away, a rebuild, a word that nobody knows: the money stays open and is tried again."""
    stage = Stage(refusal=error)
    with pytest.raises(type(error)):
        await handle(stage)
    assert stage.done == ["record_event", "sell_seats"]


async def test_without_an_outcome_in_time_the_gateway_is_to_ask_again():
    """A sale that the ledger has not written is unknown, not processed."""
    with pytest.raises(Unavailable) as away:
        await handle(Stage(outcome=None))
    assert (away.value.code, away.value.outcome) == ("ledger_unavailable", "unknown")


@pytest.mark.parametrize("verdict", ["tickets", "refund", "ignored"])
async def test_a_settled_event_leads_to_nothing(verdict):
    """Repeats and strangers' events touch no seat."""
    stage = Stage(Judgement(verdict=verdict, repeated=True, newest=True, booking_id=BOOKING))
    await handle(stage)
    assert stage.done == ["record_event"]


@pytest.mark.parametrize("verdict", ["payment_failed", "payment_expired"])
async def test_only_the_newest_session_decides_about_the_booking(verdict):
    """An older session's end changes that payment alone."""
    stage = Stage(Judgement(verdict=verdict, newest=False, booking_id=BOOKING))
    await handle(stage)
    assert stage.done == ["record_event"]


async def test_an_expired_payment_ends_the_booking_ledger_first():
    """The ledger knows the end before the seats are free, so no late intent slips between."""
    stage = Stage(Judgement(verdict="payment_expired", newest=True, booking_id=BOOKING))
    await handle(stage)
    assert stage.done == ["record_event", "expire_booking", "release_hold None expired payment_timeout"]


async def test_a_failed_payment_of_a_hold_that_is_gone_moves_nothing():
    """There is no deadline to move any more."""
    stage = Stage(Judgement(verdict="payment_failed", newest=True, booking_id=BOOKING))
    await handle(stage)
    assert stage.done == ["record_event", "close_payment"]


async def test_settling_outlives_the_request():
    """The gateway hangs up in the middle: the sale is made all the same, and closing waits for it."""
    stage = Stage()
    stage.may_sell.clear()
    handling = payments(stage)
    request = asyncio.create_task(handling.handle_event({}, b"", 0))
    await stage.selling.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    closing = asyncio.create_task(handling.close())
    await asyncio.sleep(0)
    assert not closing.done()
    stage.may_sell.set()
    await closing
    assert stage.done == ["record_event", "sell_seats", "wait", "close"]
