"""Holds through their real scripts: arguments in their places, answers decoded, refusals with what helps."""

import pytest

from engine import limits
from engine.errors import Refusal
from engine.seats.ids import HoldId, subject_key
from engine.seats.records import Request
from engine.seats.seat_map import statuses, summary
from tests.showtimes import ANNA, BUDI, CHECKOUT, HOUR_MS, load_showtime, make_policy, named, read_facts, refused


@pytest.mark.covers("000.12", "001.9", "002.2")
async def test_a_claim_gives_a_hold(engine, redis_lane):
    """Ids, times by Redis' clock, and what may be done next."""
    hold = await engine.claim_seats(42, ANNA, [8, 7])
    assert hold.seats == (7, 8)
    assert (hold.showtime, hold.status, hold.payment_open, hold.checkout) == (42, "HELD", False, None)
    assert hold.subject_key == subject_key(ANNA)
    assert hold.id == str(HoldId(hold.claimed_at_ms, hold.owner, 42))
    assert hold.claimed_at_ms == hold.now_ms
    assert abs(redis_lane.now_ms() - hold.now_ms) < 1_000
    assert hold.deadline_ms == hold.claimed_at_ms + 600_000
    assert hold.extendable_until_ms == hold.claimed_at_ms + 1_800_000
    assert hold.extensions_left == limits.EXTENSIONS_PER_HOLD_MAX
    assert hold.replayed is False


@pytest.mark.covers("002.4", "004.6", "004.12")
async def test_taken_seats_are_told_with_their_reasons(engine):
    """LOCKED by others without their id, LOCKED_BY_ME with it, SOLD and BLOCKED; nothing is claimed."""
    theirs = await engine.claim_seats(42, BUDI, [1])
    mine = await engine.claim_seats(42, ANNA, [2])
    await engine.block_seats(42, [3])
    with refused("seats_taken") as caught:
        await engine.claim_seats(42, ANNA, [1, 2, 3, 4])
    assert caught.value.details == {
        "seats": [
            {"seat": 1, "reason": "LOCKED", "deadline_ms": theirs.deadline_ms},
            {"seat": 2, "reason": "LOCKED_BY_ME", "deadline_ms": mine.deadline_ms, "hold_id": mine.id},
            {"seat": 3, "reason": "BLOCKED"},
        ]
    }
    assert summary(await engine.read_seats(42))["locked"] == 2


async def test_seats_that_are_only_held_say_when_to_come_again(engine):
    """`retry_after_ms` is the time until the last of the holds in the way lapses."""
    await engine.claim_seats(42, BUDI, [1])
    with refused("seats_taken") as caught:
        await engine.claim_seats(42, ANNA, [1])
    assert 590_000 < caught.value.details["retry_after_ms"] <= 600_000


async def test_limits_are_told_with_what_helps(engine):
    """How many seats a hold may have, which holds the customer has, how many seats are left to them."""
    with refused("too_many_seats") as caught:
        await engine.claim_seats(42, ANNA, range(11))
    assert caught.value.details == {"seats_per_hold_max": 10}
    with refused("too_many_seats"):
        await engine.claim_seats(42, ANNA, range(1_000))
    first = await engine.claim_seats(42, ANNA, range(10))
    second = await engine.claim_seats(42, ANNA, [10])
    with refused("hold_limit") as caught:
        await engine.claim_seats(42, ANNA, [11])
    assert caught.value.details == {"holds": [first.id, second.id]}
    await load_showtime(engine, 43, seats_per_customer_max=3, bought={ANNA: 2})
    with refused("seat_limit") as caught:
        await engine.claim_seats(43, ANNA, [1, 2])
    assert caught.value.details == {"seats_left": 1}


async def test_the_gate_says_why(engine):
    """Before the sale when it opens; after it, frozen or cancelled, the showtime's status."""
    opens_ms = make_policy().sales_open_ms + 2 * HOUR_MS
    await load_showtime(engine, 1, sales_open_ms=opens_ms)
    await load_showtime(engine, 2, sales_stop_ms=make_policy().sales_open_ms + 1)
    await load_showtime(engine, 3, status="frozen")
    await load_showtime(engine, 4, status="cancelled")
    with refused("not_on_sale") as caught:
        await engine.claim_seats(1, ANNA, [1])
    assert caught.value.details == {"sales_open_ms": opens_ms}
    for showtime, status in ((2, "ENDED"), (3, "FROZEN"), (4, "CANCELLED")):
        with refused("showtime_closed") as caught:
            await engine.claim_seats(showtime, ANNA, [1])
        assert caught.value.details == {"showtime_status": status}
    assert [(await engine.read_seats(n)).status for n in (1, 2, 3, 4, 42)] == [
        "SCHEDULED",
        "ENDED",
        "FROZEN",
        "CANCELLED",
        "ON_SALE",
    ]


async def test_a_request_is_replayed_and_runs_once(engine):
    """The same id gives the first answer again; with another body it is refused; another id is another claim."""
    request = Request(id="r1", fingerprint="body1")
    first = await engine.claim_seats(42, ANNA, [1], request)
    again = await engine.claim_seats(42, ANNA, [1], request)
    assert again.replayed
    assert (again.id, again.seats, again.deadline_ms) == (first.id, first.seats, first.deadline_ms)
    assert again.now_ms >= first.now_ms
    with refused("idempotency_key_reused"):
        await engine.claim_seats(42, ANNA, [2], Request(id="r1", fingerprint="body2"))
    with refused("seats_taken"):
        await engine.claim_seats(42, ANNA, [1], Request(id="r2", fingerprint="body1"))


async def test_a_hold_is_changed_all_or_nothing(engine):
    """Seats come and go, the deadline stays; a conflict leaves it as it was."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    await engine.claim_seats(42, BUDI, [5])
    changed = await engine.change_hold(named(hold), ANNA, add=[3], remove=[1])
    assert (changed.id, changed.seats, changed.deadline_ms) == (hold.id, (2, 3), hold.deadline_ms)
    assert changed.version > hold.version
    with refused("seats_taken"):
        await engine.change_hold(named(hold), ANNA, add=[4, 5])
    with refused("empty_hold"):
        await engine.change_hold(named(hold), ANNA, remove=[2, 3])
    with refused("not_found"):
        await engine.change_hold(named(hold), BUDI, add=[4])
    assert (await engine.read_hold(named(hold), ANNA)).seats == (2, 3)


async def test_a_hold_is_extended(engine):
    """Back to the full time, one extension less; not for others, not once checked out."""
    hold = await engine.claim_seats(42, ANNA, [1])
    while True:  # An extension must win time, so at least a millisecond has to pass.
        try:
            extended = await engine.extend_hold(named(hold), ANNA)
            break
        except Refusal as refusal:
            assert refusal.code == "cannot_extend"  # noqa: PT017 -- the loop ends with the first success
    assert extended.deadline_ms > hold.deadline_ms
    assert extended.extensions_left == hold.extensions_left - 1
    with refused("not_found"):
        await engine.extend_hold(named(hold), BUDI)
    await engine.check_out(named(hold), ANNA, CHECKOUT)
    with refused("cannot_extend"):
        await engine.extend_hold(named(hold), ANNA)


@pytest.mark.covers("002.13")
async def test_a_hold_is_released_once(engine, redis_client):
    """Only by its owner or the system; then its seats are free, and again is no harm."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    with refused("not_found"):
        await engine.release_hold(named(hold), BUDI)
    assert await engine.release_hold(named(hold), ANNA) is True
    assert await engine.release_hold(named(hold), ANNA) is False
    assert summary(await engine.read_seats(42))["available"] == 100
    with refused("hold_expired"):
        await engine.read_hold(named(hold), ANNA)
    assert await read_facts(redis_client) == []


async def test_a_hold_is_given_back_but_not_a_booking(engine, redis_client):
    """What became of it is told; somebody else's is not found."""
    hold, other = await engine.claim_seats(42, ANNA, [1, 2]), await engine.claim_seats(42, ANNA, [3])
    with refused("not_found"):
        await engine.give_back_hold(named(hold), BUDI)
    await engine.check_out(named(other), ANNA, CHECKOUT)
    told = [await engine.give_back_hold(named(one), ANNA) for one in (hold, hold, other)]
    assert told == ["released", "gone", "is_booking"]
    assert summary(await engine.read_seats(42))["locked"] == 1
    assert await read_facts(redis_client) == []


async def test_a_released_booking_is_a_fact(engine, redis_client):
    """What was checked out ends with a fact that carries its check-out and the reason."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    await engine.check_out(named(hold), ANNA, CHECKOUT)
    await engine.release_hold(named(hold), None, ending="expired", reason="payment_timeout")
    [(kind, business_id, data)] = await read_facts(redis_client)
    assert (kind, business_id) == ("booking_expired", hold.id)
    assert (data["booking"], data["seats"], data["reason"]) == (hold.id, [1, 2], "payment_timeout")
    assert data["checkout"] == CHECKOUT.decode()


async def test_a_check_out_happens_once(engine):
    """The hold becomes PENDING under its id with one new deadline; a second one changes nothing."""
    hold = await engine.claim_seats(42, ANNA, [1])
    booking, created = await engine.check_out(named(hold), ANNA, CHECKOUT)
    assert created
    assert (booking.id, booking.status, booking.checkout) == (hold.id, "PENDING", CHECKOUT)
    assert booking.deadline_ms == booking.now_ms + 900_000
    assert (booking.extensions_left, booking.extendable_until_ms) == (0, booking.deadline_ms)
    again, created = await engine.check_out(named(hold), ANNA, b'{"other": 1}')
    assert not created
    assert (again.deadline_ms, again.checkout) == (booking.deadline_ms, CHECKOUT)
    with refused("not_found"):
        await engine.check_out(named(hold), BUDI, CHECKOUT)


async def test_a_replayed_check_out_was_the_first(engine):
    """With a request id the repeat is a replay of the creation, not an `already`."""
    hold = await engine.claim_seats(42, ANNA, [1])
    request = Request(id="r", fingerprint="f")
    await engine.check_out(named(hold), ANNA, CHECKOUT, request)
    booking, created = await engine.check_out(named(hold), ANNA, CHECKOUT, request)
    assert created
    assert booking.replayed
    assert booking.status == "PENDING"


async def test_a_payment_session_freezes_the_seats(engine):
    """Open: seats cannot be changed. Failed: they can again, and the booking has at least its time."""
    hold = await engine.claim_seats(42, ANNA, [1])
    with refused("not_checked_out"):
        await engine.open_payment(named(hold), ANNA)
    booking, _ = await engine.check_out(named(hold), ANNA, CHECKOUT)
    opened = await engine.open_payment(named(hold), ANNA)
    assert opened.payment_open
    assert (await engine.open_payment(named(hold), ANNA)).payment_open
    with refused("payment_open"):
        await engine.change_hold(named(hold), ANNA, add=[2])
    closed = await engine.close_payment(named(hold))
    assert not closed.payment_open
    assert closed.deadline_ms >= booking.deadline_ms
    await engine.release_hold(named(hold), ANNA)
    assert await engine.close_payment(named(hold)) is None


async def test_holds_are_read_by_owners_and_operators(engine):
    """An owner reads one's own; staff read any, and all of a showtime by deadline, in pages."""
    holds = [await engine.claim_seats(42, f"guest:{n}", [3 * n, 3 * n + 1]) for n in range(3)]
    await engine.check_out(named(holds[0]), "guest:0", CHECKOUT)
    assert (await engine.read_hold(named(holds[1]), "guest:1")).seats == (3, 4)
    assert (await engine.read_hold(named(holds[1]))).id == holds[1].id
    with refused("not_found"):
        await engine.read_hold(named(holds[1]), ANNA)
    with refused("not_found"):
        await engine.read_hold(HoldId(holds[1].claimed_at_ms, holds[2].owner + 1, 42))
    page = await engine.read_holds(42)
    assert page.total == 3
    assert [line.id for line in page.holds] == [holds[1].id, holds[2].id, holds[0].id]
    assert [line.status for line in page.holds] == ["HELD", "HELD", "PENDING"]
    assert page.holds[1].seats == (6, 7)
    assert page.holds[1].subject_key == subject_key("guest:2")
    assert [line.id for line in (await engine.read_holds(42, offset=1, limit=1)).holds] == [holds[2].id]


@pytest.mark.covers("000.14", "001.27")
async def test_lapsed_holds_are_free_and_expire(engine, redis_client):
    """After its deadline a hold is gone for every reader; expiring it only tells the viewers."""
    await load_showtime(engine, 7, hold_ttl_ms=30)
    hold = await engine.claim_seats(7, ANNA, [1, 2])
    seen = await engine.read_seats(7, ANNA)
    while seen.version == hold.version:
        seen = await engine.read_seats(7, ANNA)
    assert summary(seen)["available"] == 100
    assert (seen.mine, statuses(seen)[1]) == ((), "AVAILABLE")
    with refused("hold_expired"):
        await engine.read_hold(named(hold), ANNA)
    assert await engine.expire_holds(7) == 1
    assert await engine.expire_holds(7) == 0
    assert (await engine.read_seats(7)).version == seen.version, "who saw the lapse has nothing new to see"
