"""At maxmemory nothing new is claimed, and everything begun can be finished."""

import pytest
from redis.exceptions import ResponseError

from tests.lua.calls import Prepared
from tests.lua.house import House


@pytest.fixture
def full(house: House):
    """A prepared showtime in a Redis that has no memory left."""
    prepared = Prepared(house)
    house.redis.config_set("maxmemory", 1)
    yield prepared
    house.redis.config_set("maxmemory", 0)


def lapse(full: Prepared) -> None:
    """Let the booking lapse; writing its deadline by hand needs memory for a moment."""
    full.house.redis.config_set("maxmemory", 0)
    full.house.lapse(full.booking)
    full.house.redis.config_set("maxmemory", 1)


def test_a_claim_is_refused_whole(full: Prepared):
    """Redis refuses a claim at its first write, and nothing of it is left."""
    before = full.house.dump()
    for arguments in (("claim_seats", b"n" * 16, 10, 11), ("claim_seats", b"n" * 16, 12)):
        with pytest.raises(ResponseError, match="used memory > 'maxmemory'"):
            full.house.write(*arguments)
    assert full.house.dump() == before
    full.house.check_consistent()


def test_a_claim_that_would_take_over_is_refused_whole_too(full: Prepared):
    """Ending lapsed holds is not the first write of a claim: it would let the rest through."""
    lapse(full)
    before = full.house.dump()
    with pytest.raises(ResponseError, match="used memory > 'maxmemory'"):
        full.house.write("claim_seats", b"n" * 16, 3)
    assert full.house.dump() == before


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("change_hold", "changed"),
        ("extend_hold", "extended"),
        ("release_hold", "released"),
        ("check_out", "checked_out"),
        ("open_payment", "payment_opened"),
        ("close_payment", "payment_closed"),
        ("move_hold", "moved"),
        ("sell_seats", "sold"),
        ("restock_seats", "restocked"),
        ("expire_holds", "expired"),
        ("block_seats", "blocked"),
        ("change_policy", "policy_changed"),
        ("close_showtime", "closed"),
        ("freeze_showtime", "frozen"),
        ("adopt_showtime", "adopted"),
        ("read_seats", "seats"),
        ("read_hold", "hold"),
        ("read_holds", "holds"),
        ("find_holds", "found"),
    ],
)
def test_everything_else_can_be_finished(full: Prepared, name, word):
    """Whoever has a hold, a booking or a sale can go on with it, facts included, and readers read."""
    options = {} if name.startswith("read") else {"request": "r1 print"}
    assert full.run(name, **options)[0] == word
    full.house.check_consistent()


def test_a_late_payment_is_sold(full: Prepared):
    """Captured money is never stuck for want of memory, its hold lapsed or gone."""
    house, booking = full.house, full.booking
    house.release(booking)
    assert house.sell(booking)[:4:3] == ["sold", 1]
    house.check_consistent()


def test_lapsed_bookings_end(full: Prepared):
    """Expiry frees seats and tells the ledger."""
    lapse(full)
    assert full.house.write("expire_holds", 10)[2] == 1
    assert full.house.facts()[-1]["kind"] == "booking_expired"
    full.house.check_consistent()


def test_a_showtime_can_be_loaded(full: Prepared):
    """A restore goes through: without it no sale of the showtime could be settled."""
    assert full.house.open({5: 9}, force=1, customers={b"n" * 16: b"\0\1"})[0] == "opened"
