"""Judgements about money, each in one transaction: what an event leads to, and what it never leads to twice."""

import asyncio

import pytest

from engine.errors import Refusal
from tests.ledgers import NOW_MS, PRICE_MINOR, SHOWTIME, as_uuid, booking_id, eventually
from tests.showtimes import refused


async def refunds(world):
    """Give what is owed, by reason."""
    return await world.fetch("SELECT session_id, amount_minor, reason FROM refunds ORDER BY 1")


@pytest.mark.covers("004.14", "004.28", "004.29")
async def test_an_intent_is_in_the_ledger_with_everything_needed_for_tickets(world):
    """Booking, seats, frozen prices, buyer and our own session, before any gateway is called."""
    payment, created = await world.intend(7, [3, 4])
    assert (created, payment.status, payment.amount_minor, payment.payment_url) == (
        True,
        "PENDING",
        2 * PRICE_MINOR,
        None,
    )
    booking = await world.ledger.read_booking(booking_id(7))
    assert (booking.status, booking.subject, booking.email) == ("PENDING", "anna", "anna@example.org")
    assert [(seat.index, seat.seat, seat.price_minor) for seat in booking.seats] == [
        (3, "S3", PRICE_MINOR),
        (4, "S4", PRICE_MINOR),
    ]


async def test_a_second_intent_gives_the_live_session_again(world):
    """One live session per booking; its page's address is kept from the first answer on."""
    first, _ = await world.intend(7, [3])
    await world.ledger.store_payment_url("s7", "https://pay/1")
    await world.ledger.store_payment_url("s7", "https://pay/2")
    second, created = await world.intend(7, [3], session="another")
    assert (second.session_id, second.payment_url, created) == (first.session_id, "https://pay/1", False)
    assert [payment.session_id for payment in (await world.ledger.read_booking(booking_id(7))).payments] == ["s7"]


async def test_two_intents_at_once_make_one_session(world):
    """The booking's lock lets the second one see the first."""
    made = await asyncio.gather(*(world.intend(7, [3], session=f"s{number}") for number in range(8)))
    assert len({payment.session_id for payment, _ in made}) == 1
    assert sum(created for _, created in made) == 1
    later = {"now_ms": NOW_MS + 900_001, "expires_at_ms": NOW_MS + 1_800_000}  # that session is over
    made = await asyncio.gather(*(world.intend(7, [3], session=f"late{number}", **later) for number in range(8)))
    assert sum(created for _, created in made) == 1


async def test_an_intent_for_other_seats_ends_the_session_before_it(world):
    """After a failed payment the customer may change seats; the old price must not buy the new seats."""
    await world.intend(7, [3])
    _, created = await world.intend(7, [4, 5], session="s7b")
    booking = await world.ledger.read_booking(booking_id(7))
    assert created
    assert [seat.index for seat in booking.seats] == [4, 5]
    assert {payment.session_id: payment.status for payment in booking.payments} == {"s7": "EXPIRED", "s7b": "PENDING"}
    judgement = await world.pay(7, PRICE_MINOR)
    assert (judgement.verdict, await refunds(world)) == ("refund", [("s7", PRICE_MINOR, "superseded")])


async def test_an_expired_session_is_replaced(world):
    """A session whose time is over cannot be given again."""
    await world.intend(7, [3])
    _, created = await world.intend(7, [3], session="s7b", now_ms=NOW_MS + 900_001, expires_at_ms=NOW_MS + 1_000_000)
    assert created


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("CONFIRMED", "already_paid"),
        ("CANCELLED", "not_payable"),
        ("REFUNDED", "not_payable"),
        ("EXPIRED", "booking_expired"),
    ],
)
async def test_a_booking_that_is_not_pending_takes_no_payment(world, status, code):
    """Each end has its word."""
    await world.intend(7, [3])
    await world.fetch("UPDATE bookings SET status = $1", status)
    with refused(code):
        await world.intend(7, [3], session="late")


async def test_money_under_way_stops_another_payment(world):
    """Between the money and its tickets nobody is asked to pay again."""
    await world.paid(7, [3])
    with refused("already_paid"):
        await world.intend(7, [3], session="again")


async def test_an_intent_of_somebody_else_is_not_found(world):
    """A booking's id is no permission."""
    await world.intend(7, [3])
    with refused("not_found"):
        await world.intend(7, [3], subject="budi")


@pytest.mark.covers("004.18")
async def test_a_repeated_event_changes_nothing(world):
    """The same event, and another event of the same success, lead to the same judgement and one capture."""
    await world.intend(7, [3])
    judgements = [
        await world.pay(7, PRICE_MINOR),
        await world.pay(7, PRICE_MINOR),
        await world.pay(7, PRICE_MINOR, event_id="other"),
    ]
    assert [(judgement.verdict, judgement.repeated) for judgement in judgements] == [
        ("sell", False),
        ("sell", True),
        ("sell", False),
    ]
    assert judgements[0].capture == judgements[1].capture
    assert judgements[0].capture.seats == (3,)
    assert await world.fetch("SELECT count(*) FROM captures") == [(1,)]


async def test_the_same_event_ten_times_at_once_is_one_capture(world):
    """Nobody fails, and all are told the same."""
    await world.intend(7, [3])
    judgements = await asyncio.gather(*(world.pay(7, PRICE_MINOR) for _ in range(10)))
    assert {judgement.verdict for judgement in judgements} == {"sell"}
    assert [judgement.repeated for judgement in judgements].count(False) == 1


async def test_money_of_an_unknown_session_is_refunded_and_a_case(world):
    """It came to us, so it goes back, and a person looks why."""
    judgement = await world.pay(99, 123)
    assert (judgement.verdict, judgement.booking_id) == ("refund", None)
    assert await refunds(world) == [("s99", 123, "unknown_session")]
    assert await world.fetch("SELECT kind, session_id FROM cases") == [("unknown_session", "s99")]


@pytest.mark.parametrize(
    ("amount", "currency"), [(PRICE_MINOR - 1, "IDR"), (PRICE_MINOR + 1, "IDR"), (PRICE_MINOR, "USD")]
)
async def test_a_wrong_amount_buys_nothing(world, amount, currency):
    """What was captured goes back, not what was asked for; the booking can still be paid."""
    await world.intend(7, [3])
    judgement = await world.pay(7, amount, currency=currency)
    assert judgement.verdict == "refund"
    assert await world.fetch("SELECT amount_minor, currency, reason FROM refunds") == [
        (amount, currency, "wrong_amount")
    ]
    assert await world.fetch("SELECT kind, booking_id FROM cases") == [("wrong_amount", as_uuid(7))]
    assert (await world.ledger.read_booking(booking_id(7))).status == "PENDING"


@pytest.mark.parametrize("amount", [0, -5])
async def test_a_success_over_nothing_is_no_refund(world, amount):
    """There is no money to give back; it is a case all the same."""
    await world.intend(7, [3])
    assert (await world.pay(7, amount)).verdict == "refund"
    assert await refunds(world) == []
    assert await world.fetch("SELECT kind FROM cases") == [("wrong_amount",)]


async def test_a_second_session_that_is_paid_too_is_refunded_whole(world):
    """Two pages open, both paid: the first money at work wins, whatever its session."""
    await world.intend(7, [3])
    await world.intend(7, [3], session="s7b", now_ms=NOW_MS + 900_001, expires_at_ms=NOW_MS + 1_000_000)
    assert (await world.pay(7, PRICE_MINOR, session="s7b")).verdict == "sell"
    assert (await world.pay(7, PRICE_MINOR)).verdict == "refund"
    assert await refunds(world) == [("s7", PRICE_MINOR, "duplicate_payment")]


@pytest.mark.parametrize("status", ["CANCELLED", "REFUNDED"])
async def test_money_for_a_booking_that_was_given_up_goes_back(world, status):
    """From CANCELLED and REFUNDED there is no way to a ticket."""
    await world.intend(7, [3])
    await world.fetch("UPDATE bookings SET status = $1", status)
    assert (await world.pay(7, PRICE_MINOR)).verdict == "refund"
    assert await refunds(world) == [("s7", PRICE_MINOR, f"booking_{status.lower()}")]
    assert (await world.ledger.read_booking(booking_id(7))).status == status


async def test_money_for_a_cancelled_showtime_goes_back_at_once(world):
    """No seat is looked at."""
    await world.intend(7, [3])
    await world.fetch("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", SHOWTIME)
    assert (await world.pay(7, PRICE_MINOR)).verdict == "refund"
    booking = await world.ledger.read_booking(booking_id(7))
    assert (booking.status, booking.status_reason) == ("REFUNDED", "showtime_cancelled")


async def test_a_late_payment_of_an_expired_booking_may_still_be_sold(world):
    """EXPIRED is the one end that money can turn."""
    await world.intend(7, [3])
    assert await world.ledger.expire_booking(booking_id(7))
    assert (await world.pay(7, PRICE_MINOR)).verdict == "sell"


@pytest.mark.covers("004.20", "004.21", "004.43")
@pytest.mark.parametrize(("kind", "status"), [("payment.failed", "FAILED"), ("payment.expired", "EXPIRED")])
async def test_a_payment_ends_without_money_and_may_still_succeed(world, kind, status):
    """FAILED and EXPIRED concern the payment; SUCCESS may follow, and is final."""
    await world.intend(7, [3])
    judgement = await world.pay(7, PRICE_MINOR, type=kind, event_id="end", failure_code="declined")
    assert (judgement.verdict, judgement.newest) == (kind.replace(".", "_"), True)
    assert (await world.ledger.read_payment("s7")).status == status
    assert (await world.pay(7, PRICE_MINOR)).verdict == "sell"
    assert (await world.pay(7, PRICE_MINOR, type=kind, event_id="again")).verdict == "ignored"
    assert (await world.ledger.read_payment("s7")).status == "SUCCESS"


async def test_only_the_newest_session_speaks_for_its_booking(world):
    """An old page that fails or expires later changes only its own payment."""
    await world.intend(7, [3])
    await world.intend(7, [4, 5], session="s7b")
    await world.fetch("UPDATE payments SET status = 'PENDING' WHERE session_id = 's7'")
    assert not (await world.pay(7, PRICE_MINOR, type="payment.failed")).newest
    assert (await world.pay(7, PRICE_MINOR, session="s7b", type="payment.failed")).newest


@pytest.mark.parametrize("kind", ["payment.failed", "payment.expired", "payment.unheard_of"])
async def test_an_event_that_concerns_nothing_is_only_kept(world, kind):
    """Unknown sessions and types are written down, once, and nothing follows."""
    assert [(await world.pay(99, 1, type=kind)).verdict for _ in range(2)] == ["ignored", "ignored"]
    assert await world.fetch("SELECT type FROM payment_events") == [(kind,)]


async def test_a_capture_is_refused_once(world):
    """The first decision stands; the booking shows that its money goes back."""
    await world.paid(7, [3])
    assert await world.ledger.refuse_capture("fake", "s7", "seats_taken") == "REFUND"
    assert await world.ledger.refuse_capture("fake", "s7", "showtime_closed") == "REFUND"
    assert await refunds(world) == [("s7", PRICE_MINOR, "seats_taken")]
    booking = await world.ledger.read_booking(booking_id(7))
    assert (booking.status, booking.status_reason) == ("REFUNDED", "paid_late")


async def test_a_capture_that_has_tickets_is_not_refused(world):
    """The projector was first."""
    await world.paid(7, [3])
    await world.fetch("UPDATE captures SET outcome = 'TICKETS', outcome_at = now()")
    assert await world.ledger.refuse_capture("fake", "s7", "seats_taken") == "TICKETS"
    assert await refunds(world) == []


async def test_a_hold_that_lives_on_with_other_seats_keeps_its_booking(world):
    """Only the old money goes back; the customer may pay for the seats chosen since."""
    await world.paid(7, [3])
    await world.ledger.refuse_capture("fake", "s7", "hold_changed")
    assert (await world.ledger.read_booking(booking_id(7))).status == "PENDING"


async def test_an_unknown_capture_is_not_found(world):
    """Neither read nor refused."""
    for call in (world.ledger.read_outcome("fake", "x"), world.ledger.refuse_capture("fake", "x", "seats_taken")):
        with refused("not_found"):
            await call


@pytest.mark.covers("004.24", "002.13", "004.27")
async def test_a_booking_is_cancelled_before_its_payment_only(world):
    """PENDING without money; a repeat is harmless; somebody else's is not found; one in Redis alone is not here."""
    await world.intend(7, [3])
    with refused("not_found"):
        await world.ledger.cancel_booking(booking_id(7), "budi")
    assert [await world.ledger.cancel_booking(booking_id(7), "anna") for _ in range(2)] == [True, True]
    booking = await world.ledger.read_booking(booking_id(7))
    assert (booking.status, booking.status_reason, booking.payments[0].status) == ("CANCELLED", "customer", "EXPIRED")
    await world.paid(8, [4])
    with refused("not_cancellable"):
        await world.ledger.cancel_booking(booking_id(8), "anna")
    assert not await world.ledger.cancel_booking(booking_id(9), "anna")


async def test_cancelling_and_paying_at_once_end_in_one_of_two_ways(world):
    """Schedule: both at the same moment, many times. Never a cancelled booking with money at work."""
    for owner in range(1, 21):
        await world.intend(owner, [owner])
        paid, cancelled = await asyncio.gather(
            world.pay(owner, PRICE_MINOR),
            world.ledger.cancel_booking(booking_id(owner), "anna"),
            return_exceptions=True,
        )
        assert (paid.verdict, isinstance(cancelled, Refusal)) in {("sell", True), ("refund", False)}
    assert await world.fetch(
        "SELECT count(*) FROM bookings JOIN captures ON captures.booking_id = bookings.id "
        "WHERE bookings.status = 'CANCELLED' AND captures.outcome IS DISTINCT FROM 'REFUND'"
    ) == [(0,)]


async def test_money_keeps_a_booking_from_expiring(world):
    """Whatever the clock says, paid is not unpaid."""
    await world.paid(7, [3])
    assert not await world.ledger.expire_booking(booking_id(7))
    assert (await world.ledger.read_booking(booking_id(7))).settling


async def test_money_that_commits_while_a_booking_expires_is_seen(world):
    """Schedule: the payment holds the booking; the expiry has begun and waits for it; then the payment commits."""
    await world.intend(7, [3])
    async with world.pool.acquire() as paying:
        block = paying.transaction()
        await block.start()
        await paying.execute("SELECT 1 FROM bookings WHERE id = $1 FOR UPDATE", as_uuid(7))
        await paying.execute(
            "INSERT INTO captures (gateway, session_id, booking_id, amount_minor, currency) "
            "VALUES ('fake', 's7', $1, $2, 'IDR')",
            as_uuid(7),
            PRICE_MINOR,
        )
        expiring = asyncio.create_task(world.ledger.expire_booking(booking_id(7)))
        await eventually(lambda: paying.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        await block.commit()
    assert not await expiring
    assert (await world.ledger.read_booking(booking_id(7))).status == "PENDING"


async def test_a_customers_bookings_are_paged_newest_first(world):
    """The cursor is the last id of the page; nobody else's are among them."""
    for owner in range(1, 6):
        await world.intend(owner, [owner])
    await world.intend(6, [6], subject="budi")
    page, cursor = await world.ledger.bookings_of("anna", None, 3)
    rest, end = await world.ledger.bookings_of("anna", cursor, 3)
    assert [booking.id for booking in page + rest] == [booking_id(owner) for owner in (5, 4, 3, 2, 1)]
    assert end is None
