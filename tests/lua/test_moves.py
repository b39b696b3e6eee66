"""A hold changes its customer: the guest who claimed the seats has logged in."""

import pytest

from tests.lua.house import ANN, BOB, EVE, HoldAnswer, House

CHECKOUT = '{"email":"a@b.c"}'
"""What `House.check_out` keeps with a booking."""


def move(house: House, hold: HoldAnswer, subject: bytes = BOB, read: str = "", keep: str = "", **options) -> list:
    """Move a hold from its customer to another."""
    return house.write("move_hold", *hold.name, hold.subject, subject, read, keep, **options)


def found(house: House, subject: bytes) -> list[tuple[int, int]]:
    """Give the names of a customer's live holds."""
    answer = house.call("find_holds", subject)
    assert answer[0] == "found"
    return list(zip(answer[2::2], answer[3::2], strict=True))


def test_a_moved_hold_is_the_new_customers_alone(house: House):
    """Seats, deadline and name stay; whose it is, and whose limits it counts for, changes in one step."""
    hold = house.claim(ANN, 1, 2)
    moved = HoldAnswer(move(house, hold))

    assert (moved.word, moved.subject, moved.name) == ("moved", BOB, hold.name)
    assert (moved.seats, moved.deadline_ms, moved.status) == (hold.seats, hold.deadline_ms, b"H")
    assert house.call("read_hold", *hold.name, ANN)[0] == "not_found"
    assert house.call("read_hold", *hold.name, BOB)[0] == "hold"
    assert (found(house, ANN), found(house, BOB)) == ([], [hold.name])
    assert house.read(BOB)["mine"] == [1, 2]
    assert house.read(ANN)["mine"] == []
    assert moved.version == hold.version + 1 == house.read()["version"]
    house.check_consistent()


def test_a_moved_booking_keeps_its_payment_and_gets_its_new_buyers_name(house: House):
    """Its checkout is exchanged, and the end of the booking tells the ledger the new one."""
    booking = house.check_out(house.claim(ANN, 1))
    house.write("open_payment", *booking.name, ANN)
    moved = HoldAnswer(move(house, booking, BOB, CHECKOUT, '{"email":"bob@b.c"}'))

    assert (moved.status, moved.payment_open, moved.checkout) == (b"P", 1, b'{"email":"bob@b.c"}')
    assert house.release(moved)[0] == "released"
    assert "bob@b.c" in house.facts()[-1]["data"]
    house.check_consistent()


@pytest.mark.parametrize("opened", [True, False])
def test_money_that_was_on_its_way_for_the_guest_still_buys_the_seats(house: House, opened):
    """The ledger may name the guest yet: who opened the payment was the owner. Without one nothing is sold."""
    booking = house.check_out(house.claim(ANN, 1))
    if opened:
        house.write("open_payment", *booking.name, ANN)
    move(house, booking, BOB, CHECKOUT, CHECKOUT)

    assert house.sell(booking)[0] == ("sold" if opened else "not_found")
    house.check_consistent()


def test_only_its_owner_gives_a_hold_away(house: House):
    """Somebody else's, one of another moment, and a lapsed one are not moved."""
    hold = house.claim(ANN, 1)
    before = house.dump()
    assert house.write("move_hold", *hold.name, EVE, BOB, "", "")[0] == "not_found"
    assert house.write("move_hold", hold.owner, hold.claimed_at_ms - 1, ANN, BOB, "", "")[0] == "hold_expired"
    assert house.dump() == before
    house.lapse(hold)
    assert move(house, hold)[0] == "hold_expired"
    assert found(house, ANN) == []


def test_a_hold_that_was_checked_out_meanwhile_is_read_again(house: House):
    """Else the new checkout would be made from nothing, or from an older one."""
    hold = house.claim(ANN, 1)
    house.check_out(hold)
    before = house.dump()
    assert move(house, hold)[0] == "hold_changed"
    assert move(house, hold, BOB, '{"email":"old"}', "{}")[0] == "hold_changed"
    assert house.dump() == before


def test_the_new_customers_limits_count(house: House):
    """Nobody gathers holds or seats through guests; what lapsed does not count (I13)."""
    house.write("change_policy", *house.policy(seats_per_customer_max=4))
    one, two, hold = house.claim(BOB, 1, 2), house.claim(BOB, 3), house.claim(ANN, 4, 5)
    before = house.dump()
    refusal = move(house, hold)
    assert (refusal[0], refusal[2:]) == ("hold_limit", [*one.name, *two.name])
    assert house.dump() == before

    house.release(two)
    moved = house.write("change_hold", *one.name, BOB, 1, 6)
    assert moved[0] == "changed"
    refusal = move(house, hold)
    assert (refusal[0], refusal[2:]) == ("seat_limit", [1])

    house.lapse(one)
    assert move(house, hold)[0] == "moved"
    house.check_consistent()


def test_bought_seats_count_for_the_new_customer_too(house: House):
    """Held and bought together are what one customer may have."""
    house.write("change_policy", *house.policy(seats_per_customer_max=2))
    house.sell(house.check_out(house.claim(BOB, 1, 2)))
    assert move(house, house.claim(ANN, 3))[0::2] == ["seat_limit", 0]


def test_holds_are_found_by_customer(house: House):
    """All live ones of this showtime, checked out or not, and nobody else's."""
    assert found(house, ANN) == []
    one, two = house.claim(ANN, 1), house.check_out(house.claim(ANN, 2))
    lapsed = house.claim(EVE, 3)
    house.lapse(lapsed)
    assert found(house, ANN) == [one.name, two.name]
    assert found(house, EVE) == []
