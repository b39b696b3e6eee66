"""A customer across showtimes: holds are found where they are, and go over to somebody else."""

import pytest

from engine.errors import Unavailable
from engine.seats.ids import parse_hold_id, subject_key
from engine.seats.keys import customer_key
from tests.showtimes import ANNA, BUDI, CHECKOUT, load_showtime, refused


def ids(found):
    """Give the texts of hold ids."""
    return [str(hold) for hold in found]


async def test_holds_of_all_showtimes_are_found_newest_first(engine):
    """Checked out or not; nobody else's; released ones no more."""
    await load_showtime(engine, 43)
    assert await engine.holds_of(ANNA) == ()
    one = await engine.claim_seats(42, ANNA, [1])
    other = await engine.claim_seats(43, ANNA, [1])
    booked, _ = await engine.check_out(parse_hold_id((await engine.claim_seats(42, ANNA, [2])).id), ANNA, CHECKOUT)
    await engine.claim_seats(42, BUDI, [3])

    assert ids(await engine.holds_of(ANNA)) == sorted([one.id, other.id, booked.id], reverse=True)
    await engine.release_hold(parse_hold_id(other.id), ANNA)
    assert ids(await engine.holds_of(ANNA)) == sorted([one.id, booked.id], reverse=True)


async def test_a_hint_is_proved_and_ends_by_itself(engine, redis_client):
    """It names showtimes, which are asked; one that Redis has not, or whose time is over, gives nothing."""
    key = customer_key(subject_key(ANNA))
    hold = await engine.claim_seats(42, ANNA, [1])
    assert await engine.holds_of(ANNA)
    assert await redis_client.zscore(key, "42") == hold.extendable_until_ms
    assert hold.extendable_until_ms - hold.now_ms < await redis_client.pttl(key)

    await redis_client.zadd(key, {"77": hold.extendable_until_ms, "78": 1})
    assert ids(await engine.holds_of(ANNA)) == [hold.id]
    await engine.holds_of(ANNA)
    assert await redis_client.zrange(key, 0, -1) == [b"42", b"77"]

    # Once it is checked out it may live longer; a later hint never shortens an earlier one.
    booked, _ = await engine.check_out(parse_hold_id(hold.id), ANNA, CHECKOUT)
    await engine.claim_seats(42, ANNA, [2])
    await engine.holds_of(ANNA)
    assert await redis_client.zscore(key, "42") >= booked.deadline_ms + 900_000


async def test_a_claim_does_not_wait_for_the_hint(engine, redis_client):
    """A hint that cannot be written costs no hold."""
    await redis_client.set(customer_key(subject_key(ANNA)), "of another type")
    hold = await engine.claim_seats(42, ANNA, [1])
    assert (await engine.read_hold(parse_hold_id(hold.id), ANNA)).id == hold.id
    with pytest.raises(Unavailable, match="WRONGTYPE"):
        await engine.holds_of(ANNA)


async def test_a_hold_moves_to_another_customer(engine):
    """It is the other's alone, found there, and keeps its name."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    moved = await engine.move_hold(hold, ANNA, BUDI, None)

    assert (moved.id, moved.seats, moved.subject_key) == (hold.id, (1, 2), subject_key(BUDI))
    assert (await engine.holds_of(ANNA), ids(await engine.holds_of(BUDI))) == ((), [hold.id])
    with refused("not_found"):
        await engine.move_hold(hold, ANNA, BUDI, None)


async def test_a_move_is_refused_with_what_helps(engine):
    """Checked out meanwhile; the new customer's limit."""
    hold = await engine.claim_seats(42, ANNA, [1])
    await engine.check_out(parse_hold_id(hold.id), ANNA, CHECKOUT)
    with refused("hold_changed"):
        await engine.move_hold(hold, ANNA, BUDI, None)

    theirs = [(await engine.claim_seats(42, BUDI, [seat])).id for seat in (5, 6)]
    booking = await engine.read_hold(parse_hold_id(hold.id), ANNA)
    with refused("hold_limit") as caught:
        await engine.move_hold(booking, ANNA, BUDI, CHECKOUT)
    assert caught.value.details == {"holds": theirs}
