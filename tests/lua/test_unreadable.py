"""Numbers that are none and records that were cut: damage, told before anything is written."""

import pytest

from tests.lua.calls import READERS, SUCCESS, Prepared
from tests.lua.house import BOB, House

NUMBERS = ("seats_count", "seq", "version", "fence", "next_lapse_ms", "policy", "status")


@pytest.mark.parametrize("name", [*SUCCESS, *READERS])
@pytest.mark.parametrize("field", NUMBERS)
def test_a_field_of_meta_that_cannot_be_read_is_damage(house: House, name, field):
    """An error halfway through a change would leave half of it behind: every number is looked at first."""
    prepared = Prepared(house)
    house.redis.hset(house.key("meta"), field, "17x")
    before = house.dump()
    answer = prepared.run(name)[0]
    if name == "claim_seats" and field == "seq" and answer == "claimed":
        return  # a claim of free seats tells no fact
    assert answer == "damaged"
    assert house.dump() == before


@pytest.mark.parametrize("name", ["claim_seats", "change_hold", "read_seats", "find_holds"])
@pytest.mark.parametrize("length", [1, 5])
def test_a_customers_record_that_was_cut_is_damage(house: House, name, length):
    """What a customer has is read before anything is given to them."""
    prepared = Prepared(house)
    subject = prepared.held.subject
    house.set_record("customers", subject, house.record("customers", subject)[:length])
    before = house.dump()
    arguments = {
        "claim_seats": (subject, 3),
        "change_hold": prepared.arguments("change_hold"),
        "read_seats": (subject, ""),
        "find_holds": (subject,),
    }[name]
    call = house.call if name in READERS else house.write
    assert call(name, *arguments)[0] == "damaged"
    assert house.dump() == before


@pytest.mark.parametrize("length", [22, 23, 26])
def test_a_hold_that_was_cut_is_damage(house: House, length):
    """A hold without its last seat, or without any, is not ended, sold or changed."""
    prepared = Prepared(house)
    for owner, packed in house.records("holds").items():
        house.set_record("holds", owner, packed[:length])
    before = house.dump()
    for name in ("change_hold", "extend_hold", "release_hold", "sell_seats", "read_hold"):
        assert prepared.run(name)[0] == "damaged", name
    assert house.dump() == before


@pytest.mark.parametrize("name", ["close_showtime", "freeze_showtime"])
def test_a_showtime_with_an_unreadable_version_can_be_stopped(house: House, name):
    """Stopping comes before mending: it must not fail on what is to be mended."""
    prepared = Prepared(house)
    now_ms = house.now_ms()
    house.redis.hset(house.key("meta"), "version", "17x")
    word, _, version = prepared.run(name)
    assert word in ("closed", "frozen")
    assert version > now_ms


def test_a_load_does_not_end_over_a_hint_of_another_type(closed_house: House):
    """The last step would fail after its first writes: the load is lost before any, and another one follows."""
    house = closed_house
    house.write("open_showtime", "begin", "n", 15_000, 0)
    house.write("open_showtime", "part", "n", BOB, b"\0\1")
    house.redis.set(house.partition("lapses"), "x")
    before = house.dump()
    assert house.write("open_showtime", *house.finish("n", {1: 7}))[0] == "load_lost"
    assert house.dump() == before
    house.redis.delete(house.partition("lapses"))
    assert house.write("open_showtime", *house.finish("n", {1: 7}))[0] == "opened"
