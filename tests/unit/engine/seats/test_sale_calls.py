"""Sales and restocks through their real scripts."""

import pytest

from engine.seats.seat_map import statuses
from tests.showtimes import ANNA, BUDI, CHECKOUT, named, read_facts, refused


@pytest.mark.covers("000.13", "001.13", "002.7")
async def test_a_sale_is_made_once(engine, redis_client):
    """LOCKED becomes SOLD with one fact; a repeat gives the same sale."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    await engine.check_out(named(hold), ANNA, CHECKOUT)
    sale = {"gateway": "fake", "session_id": "sess_1", "seats": [1, 2]}
    sold = await engine.sell_seats(named(hold), ANNA, **sale)
    assert (sold.sale_number, sold.late, sold.already) == (hold.owner, False, False)
    again = await engine.sell_seats(named(hold), ANNA, **sale)
    assert (again.sale_number, again.already) == (hold.owner, True)
    [(kind, business_id, data)] = await read_facts(redis_client)
    assert (kind, business_id, data["booking"], data["seats"]) == ("seats_sold", "sess_1", hold.id, [1, 2])
    seat_map = await engine.read_seats(42)
    assert statuses(seat_map)[:4] == ["AVAILABLE", "SOLD", "SOLD", "AVAILABLE"]


async def test_other_seats_than_the_holds_are_not_sold(engine):
    """A hold that was changed after the intent is refused, and so is somebody else's."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    with refused("hold_changed"):
        await engine.sell_seats(named(hold), ANNA, gateway="fake", session_id="s", seats=[1, 3])
    with refused("not_found"):
        await engine.sell_seats(named(hold), BUDI, gateway="fake", session_id="s", seats=[1, 2])


async def test_a_late_sale_takes_only_free_seats(engine):
    """After the hold is gone: late if all seats are free, refused if one is not."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    await engine.release_hold(named(hold), ANNA)
    sold = await engine.sell_seats(named(hold), ANNA, gateway="fake", session_id="s1", seats=[1, 2])
    assert sold.late
    gone = await engine.claim_seats(42, BUDI, [5])
    await engine.release_hold(named(gone), BUDI)
    await engine.claim_seats(42, ANNA, [5])
    with refused("seats_taken"):
        await engine.sell_seats(named(gone), BUDI, gateway="fake", session_id="s2", seats=[5])


async def test_a_restock_frees_only_its_own_sale(engine, redis_client):
    """Once, with a fact; the same seats sold again under another number are left alone."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    sold = await engine.sell_seats(named(hold), ANNA, gateway="fake", session_id="s1", seats=[1, 2])
    restock = (42, ANNA, hold.id, sold.sale_number, "refund:1", [1, 2])
    assert await engine.restock_seats(*restock) == (1, 2)
    other = await engine.claim_seats(42, BUDI, [1])
    await engine.sell_seats(named(other), BUDI, gateway="fake", session_id="s2", seats=[1])
    assert await engine.restock_seats(*restock) == ()
    assert [kind for kind, *_ in await read_facts(redis_client)] == ["seats_sold", "seats_restocked", "seats_sold"]
    assert statuses(await engine.read_seats(42))[1:3] == ["SOLD", "AVAILABLE"]
