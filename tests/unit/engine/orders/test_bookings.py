"""A booking is a live hold and the ledger, merged: which of them has the word when they disagree."""

import msgspec
import pytest

from engine.catalogue.floor_plans import draw_layout
from engine.errors import Refusal, Unavailable
from engine.ledger.records import BookedSeat, Booking, Capture
from engine.orders.belongings import Belongings
from engine.orders.bookings import Bookings
from engine.orders.records import Buyer, Checkout
from engine.seats.ids import HoldId
from engine.seats.records import Hold, Request

HOLD_ID = HoldId(1_800_000_000_000, 7, 42)
ID = str(HOLD_ID)
KEY = Request("key", "print")
CHECKOUT = Checkout(
    subject="me", email="me@example.com", phone=None, locale="id", currency="IDR", prices={"REGULAR": 10}
)
CAPTURE = Capture(gateway="fake", session_id="sess_1", amount_minor=20, currency="IDR", captured_at_ms=0, outcome=None)


def hold(status="PENDING"):
    """Describe the live hold."""
    return Hold(
        id=ID,
        showtime=42,
        owner=7,
        status=status,
        seats=(0, 1),
        claimed_at_ms=0,
        deadline_ms=900,
        extensions_left=0,
        extendable_until_ms=0,
        payment_open=False,
        subject_key=b"",
        checkout=msgspec.json.encode(CHECKOUT) if status == "PENDING" else None,
        version=1,
        now_ms=100,
    )


def known(status="PENDING", *, settling=False, subject="me"):
    """Describe the booking in the ledger."""
    return Booking(
        id=ID,
        showtime=42,
        subject=subject,
        email="me@example.com",
        phone=None,
        locale="id",
        status=status,
        status_reason=None,
        amount_minor=20,
        currency="IDR",
        expires_at_ms=800,
        created_at_ms=0,
        seats=(BookedSeat(0, "A1", "REGULAR", 10), BookedSeat(1, "A2", "REGULAR", 10)),
        captures=(CAPTURE,) if settling else (),
    )


class Stage:
    """Plays seat engine, ledger and catalogue. `ledger` is what successive looks find; the last one stays."""

    layout_id = 1
    currency = "IDR"
    prices = {"REGULAR": 10}  # noqa: RUF012 (nobody changes it)

    def __init__(self, *ledger, redis=None, status="ON_SALE"):
        self.ledger = list(ledger)
        self.status = status
        self.redis = redis or Refusal("hold_expired")
        self.done = []
        self.answered = None

    async def showtime(self, number):
        return self

    async def read_showtime(self, number):
        return self

    async def layout(self, layout_id):
        return draw_layout("hall", ["A RR"])

    async def read_booking(self, booking_id):
        self.done.append("ledger")
        found = self.ledger.pop(0) if len(self.ledger) > 1 else self.ledger[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def read_hold(self, hold_id, subject):
        self.done.append("redis")
        if isinstance(self.redis, Exception):
            raise self.redis
        return self.redis

    async def recall_cancelled(self, request):
        return self.answered if request else None

    async def cancel_booking(self, booking_id, subject, *, comment, entry, request, answer):
        self.done.append("cancel_booking")
        self.answered, self.entered = answer if request else None, entry
        return True

    async def release_hold(self, hold_id, subject, *, ending, reason):
        self.done.append(f"release_hold {ending} {reason}")
        return True

    async def check_out(self, hold_id, subject, checkout, request):
        raise AssertionError("nothing may be checked out")


def bookings(stage):
    """Build bookings on a stage."""
    return Bookings(stage, stage, stage, Belongings(stage, stage))


async def read(stage):
    """Read my booking."""
    return await bookings(stage).read_booking(ID, "me")


@pytest.mark.parametrize("status", ["CONFIRMED", "CANCELLED", "EXPIRED", "REFUNDED"])
async def test_what_is_final_in_the_ledger_is_final(status):
    """A hold that lives on says nothing against it, and is not even looked at."""
    stage = Stage(known(status), redis=hold())
    assert (await read(stage)).status == status
    assert stage.done == ["ledger"]


async def test_a_live_hold_knows_the_deadline_and_the_seats():
    """While it lives the hold is newer than what the ledger was told."""
    booking = await read(Stage(known(), redis=hold()))
    assert (booking.status, booking.expires_at_ms, booking.now_ms) == ("PENDING", 900, 100)
    assert booking.amount_minor == 20


async def test_money_without_an_outcome_is_settling_whatever_redis_says():
    """Between the sale and its commit the booking is PENDING, and nothing may be done with it."""
    for redis in (hold(), Refusal("hold_expired"), Unavailable("redis_unavailable")):
        booking = await read(Stage(known(settling=True), redis=redis))
        assert (booking.status, booking.settling, booking.actions) == ("PENDING", True, ())


@pytest.mark.parametrize("word", ["hold_expired", "not_found"])
async def test_without_its_hold_an_unpaid_booking_is_over(word):
    """Lapsed, or lost with Redis: nobody keeps its seats, so it is EXPIRED before the worker writes it."""
    booking = await read(Stage(known(), redis=Refusal(word)))
    assert (booking.status, booking.status_reason, booking.actions) == ("EXPIRED", "payment_timeout", ())


async def test_a_booking_that_ended_with_its_showtime_is_cancelled():
    """Whether or not the worker has written so yet; one that the ledger never knew says why it is gone."""
    booking = await read(Stage(known(), status="CANCELLED"))
    assert (booking.status, booking.status_reason, booking.actions) == ("CANCELLED", "showtime_cancelled", ())
    with pytest.raises(Refusal) as gone:
        await read(Stage(None, status="CANCELLED"))
    assert (gone.value.code, gone.value.details) == ("booking_expired", {"showtime_status": "CANCELLED"})


@pytest.mark.parametrize("later", [known(settling=True), known("CONFIRMED")])
async def test_a_sale_between_the_two_looks_is_seen(later):
    """PENDING in the ledger, hold gone because it was sold: the ledger is asked again before it is called over."""
    for earlier in (None, known()):
        booking = await read(Stage(earlier, later))
        assert (booking.status, booking.settling) == (later.status, later.settling)


async def test_a_hold_that_ended_unknown_to_the_ledger_is_gone():
    """There is nothing left to show."""
    with pytest.raises(Refusal) as gone:
        await read(Stage(None))
    assert gone.value.code == "booking_expired"


async def test_somebody_elses_booking_does_not_exist():
    """Neither in the ledger nor in Redis."""
    for stage in (Stage(known(subject="you")), Stage(None, redis=Refusal("not_found"))):
        with pytest.raises(Refusal) as hidden:
            await read(stage)
        assert hidden.value.code == "not_found"


async def test_without_the_ledger_nothing_is_said():
    """A live hold alone cannot tell whether its money has come."""
    with pytest.raises(Unavailable):
        await read(Stage(Unavailable("ledger_unavailable"), redis=hold()))


async def test_cancelling_begins_in_the_ledger():
    """So that no payment finds a booking there whose seats were given away."""
    stage = Stage(known(), redis=hold())
    booking = await bookings(stage).cancel(ID, "me")
    assert (booking.status, booking.status_reason, booking.actions) == ("CANCELLED", "customer", ())
    assert stage.done == ["ledger", "redis", "cancel_booking", "release_hold cancelled customer"]


@pytest.mark.parametrize("status", ["PENDING", "HELD"])
async def test_a_check_out_that_only_redis_knew_enters_the_ledger(status):
    """What was cancelled can be read as cancelled when the answer is there; a hold was never a booking."""
    stage = Stage(None, redis=hold(status))
    await bookings(stage).cancel(ID, "me")
    assert stage.done == ["ledger", "redis", "cancel_booking", "release_hold cancelled customer"]
    if status == "HELD":
        assert stage.entered is None
    else:
        assert (stage.entered.booking_id, stage.entered.owner_number) == (ID, 7)
        assert (stage.entered.email, stage.entered.amount_minor) == ("me@example.com", 20)


@pytest.mark.parametrize("found", [None, known("CANCELLED")], ids=["only-in-redis", "in-the-ledger"])
async def test_a_repeated_cancel_finishes_what_the_first_had_left(found):
    """The first may have died before it could tell Redis; its answer is given again, whoever knows the booking now."""
    stage = Stage(known(), redis=hold())
    first = await bookings(stage).cancel(ID, "me", KEY)
    stage.ledger, stage.done = [found], []
    again = await bookings(stage).cancel(ID, "me", KEY)
    assert (again.status, again.replayed) == ("CANCELLED", True)
    assert again == msgspec.structs.replace(first, replayed=True, now_ms=again.now_ms)
    assert stage.done == ["ledger", "release_hold cancelled customer"]


async def test_a_cancel_that_never_reached_redis_does_not_undo_a_payment():
    """It was remembered, its process died, and the customer paid: the repeat is judged anew."""
    stage = Stage(known(), redis=hold())
    await bookings(stage).cancel(ID, "me", KEY)
    stage.ledger, stage.done = [known("CONFIRMED")], []
    with pytest.raises(Refusal) as refused:
        await bookings(stage).cancel(ID, "me", KEY)
    assert refused.value.code == "not_cancellable"
    assert stage.done == ["ledger", "ledger"]


@pytest.mark.parametrize("found", [known("CONFIRMED"), known("EXPIRED"), known("REFUNDED"), known(settling=True)])
async def test_what_is_paid_or_over_cannot_be_cancelled(found):
    """Neither ledger nor seats are touched."""
    stage = Stage(found)
    with pytest.raises(Refusal) as refused:
        await bookings(stage).cancel(ID, "me")
    assert refused.value.code == "not_cancellable"
    assert stage.done == ["ledger"]


async def test_a_buyer_without_an_address_checks_nothing_out():
    """The refusal comes before any seat is claimed or any hold changed."""
    for email in (None, ""):
        buyer = Buyer(subject="me", email=email)
        with pytest.raises(Refusal) as refused:
            await bookings(Stage(None)).check_out(ID, buyer)
        assert refused.value.code == "email_required"
        with pytest.raises(Refusal):
            await bookings(Stage(None)).claim_and_check_out(42, [0], buyer)
