"""Selling and restocking: exact, once, and proven by the owner number."""

import json

import pytest

from tests.lua.house import ANN, BOB, BOOKING, EVE, House


def booked(house: House, subject: bytes, *seats: int):
    """Claim and check out."""
    return house.check_out(house.claim(subject, *seats))


@pytest.mark.covers("000.13", "001.13", "001.30", "002.7")
def test_a_live_booking_is_sold_under_its_own_number(house: House):
    """LOCKED becomes SOLD in one step, with a fact that has everything the ledger needs."""
    hold = booked(house, ANN, 1, 2)
    word, now_ms, sale, late, seq = house.sell(hold, request="r1 print trace-1")
    assert (word, sale, late, seq) == ("sold", hold.owner, 0, 1)
    assert (house.bits("sold"), house.bits("locked")) == ({1, 2}, set())
    (fact,) = house.facts()
    assert {name: fact[name] for name in ("kind", "showtime", "generation", "seq", "id", "at", "trace")} == {
        "kind": "seats_sold",
        "showtime": "42",
        "generation": "3",
        "seq": "1",
        "id": "sess_1",
        "at": str(now_ms),
        "trace": "trace-1",
    }
    assert json.loads(fact["data"]) == {
        "booking": BOOKING,
        "gateway": "fake",
        "session": "sess_1",
        "sale": hold.owner,
        "late": False,
        "seats": [1, 2],
    }
    assert house.read()["version"] == hold.version + 1
    house.check_consistent()


def test_selling_again_says_so_and_does_nothing(house: House):
    """A repeat, also of a closed showtime or by another session, gives the sale number and no second fact (I7)."""
    hold = booked(house, ANN, 1, 2)
    house.sell(hold)
    house.write("close_showtime")
    before = house.dump()
    assert house.sell(hold)[::2] == ["sold_already", hold.owner]
    assert house.sell(hold, session="sess_2")[::2] == ["sold_already", hold.owner]
    assert house.dump() == before


def test_only_the_seats_of_the_hold_are_sold(house: House):
    """A live hold that has other seats than were paid for is not sold in part."""
    hold = booked(house, ANN, 1, 2)
    before = house.dump()
    assert house.sell(hold, seats=[1])[0] == "hold_changed"
    assert house.sell(hold, seats=[1, 2, 3])[0] == "hold_changed"
    assert house.dump() == before


def test_another_customers_hold_is_not_sold(house: House):
    """The owner number of a hold in other hands, or of another moment, sells nothing (I5)."""
    hold = booked(house, ANN, 1)
    before = house.dump()
    sale = (BOOKING, "fake", "sess_1", 1)
    assert house.write("sell_seats", *hold.name, BOB, *sale)[0] == "not_found"
    assert house.write("sell_seats", hold.owner, hold.claimed_at_ms - 1, ANN, *sale)[0] == "not_found"
    assert house.dump() == before


def test_a_seat_that_is_held_and_sold_at_once_is_damage(house: House):
    """Whoever it was sold to: a lost owner number lets it be claimed, but neither sold again nor taken for sold."""
    sale = booked(house, ANN, 1, 2)
    house.sell(sale)
    house.set_cells(1, bytes(8))
    hold = booked(house, BOB, 1, 2)
    before = house.dump()
    assert house.sell(hold)[0] == "damaged"
    assert house.dump() == before


@pytest.mark.parametrize("end", ["lapsed", "ended"])
def test_a_late_payment_gets_its_seats_if_all_are_free(house: House, end):
    """A payment after the deadline is sold late under the same number; its booking expired first, once."""
    hold = booked(house, ANN, 1, 2)
    house.lapse(hold)
    if end == "ended":
        house.write("expire_holds", 10)
    word, _, sale, late, seq = house.sell(hold)
    assert (word, sale, late, seq) == ("sold", hold.owner, 1, 2)
    assert [fact["kind"] for fact in house.facts()] == ["booking_expired", "seats_sold"]
    assert json.loads(house.facts()[1]["data"])["late"] is True
    assert house.sell(hold)[0] == "sold_already"
    house.check_consistent()


def test_a_late_payment_takes_over_other_lapsed_holds(house: House):
    """Seats that a newer hold had, which lapsed too, are free for the late payment."""
    hold = booked(house, ANN, 1, 2)
    house.lapse(hold)
    newer = booked(house, BOB, 2, 3)
    house.lapse(newer)
    assert house.sell(hold)[:4:3] == ["sold", 1]
    assert house.bits("locked") == set()
    assert [fact["kind"] for fact in house.facts()] == ["booking_expired", "booking_expired", "seats_sold"]
    house.check_consistent()


@pytest.mark.parametrize("way", ["held", "sold", "blocked"])
def test_a_late_payment_never_takes_a_seat_from_anybody(house: House, way):
    """One seat gone meanwhile, in whatever way, and nothing is sold (I1, I4)."""
    hold = booked(house, ANN, 1, 2)
    house.lapse(hold)
    if way == "blocked":
        house.write("block_seats", "block", 0, 2)
    else:
        other = booked(house, BOB, 2)
        if way == "sold":
            house.sell(other, session="sess_2")
    before = house.dump()
    word, _, seat, reason, *_ = house.sell(hold)
    assert (word, seat, reason) == ("seats_taken", 2, {"held": b"LOCKED", "sold": b"SOLD", "blocked": b"BLOCKED"}[way])
    assert house.dump() == before


@pytest.mark.parametrize(
    ("close", "word"),
    [
        (lambda house: house.write("close_showtime"), ["showtime_closed", b"CANCELLED"]),
        (lambda house: house.write("freeze_showtime", "frozen"), ["showtime_closed", b"FROZEN"]),
        (
            lambda house: house.write("change_policy", *house.policy(sales_stop_ms=-1_000)),
            ["showtime_closed", b"ENDED"],
        ),
    ],
)
def test_a_late_payment_for_a_closed_showtime_is_refused(house: House, close, word):
    """A late payment is a new claim: only a showtime on sale takes it."""
    hold = booked(house, ANN, 1)
    house.lapse(hold)
    close(house)
    before = house.dump()
    assert house.sell(hold)[::2] == word
    assert house.dump() == before


def test_a_late_sale_may_pass_the_limits(closed_house: House):
    """Limits are for claims: what is paid for and free is sold."""
    closed_house.open(seats_per_customer_max=2)
    hold = booked(closed_house, ANN, 1, 2)
    closed_house.lapse(hold)
    other = booked(closed_house, ANN, 3, 4)
    assert closed_house.sell(hold)[0] == "sold"
    assert closed_house.sell(other, session="sess_2")[0] == "sold"
    assert closed_house.write("claim_seats", ANN, 5)[::2] == ["seat_limit", 0]
    closed_house.check_consistent()


@pytest.mark.covers("000.16", "000.20", "002.11")
def test_a_restock_frees_the_seats_exactly_once(house: House):
    """Seats of a sale go back to stock with one fact; a repeat frees nothing more (I12)."""
    hold = booked(house, ANN, 1, 2, 3)
    sale = house.sell(hold)[2]
    assert house.restock(sale, 1, 2)[::2] == ["restocked", 1]
    assert house.restock(sale, 1, 2)[0] == "restocked_already"
    assert house.bits("sold") == {3}
    assert json.loads(house.facts()[-1]["data"]) == {"booking": BOOKING, "sale": sale, "seats": [1, 2]}
    assert [(fact["kind"], fact["seq"]) for fact in house.facts()] == [("seats_sold", "1"), ("seats_restocked", "2")]
    assert house.restock(sale, 1, 2, 3)[2:] == [3]
    house.check_consistent()


def test_a_restock_leaves_later_owners_alone(house: House):
    """A seat sold or held anew since then stays with its new owner, whatever the old sale asks (ABA, I12)."""
    old = house.sell(booked(house, ANN, 1, 2))[2]
    house.restock(old, 1, 2)
    new = house.sell(booked(house, ANN, 1), session="sess_2")[2]
    house.claim(BOB, 2)
    before = house.dump()
    assert house.restock(old, 1, 2)[0] == "restocked_already"
    assert house.dump() == before
    assert new != old


def test_a_hold_is_not_restocked_by_its_number(house: House):
    """Only sold seats go back to stock: a hold's number names no sale."""
    hold = house.claim(ANN, 1)
    assert house.restock(hold.owner, 1)[0] == "restocked_already"
    assert house.bits("locked") == {1}


@pytest.mark.covers("001.32")
def test_seats_of_a_cancelled_showtime_return_to_stock_and_stay_closed(house: House):
    """A restock works after the cancellation; the seats are free and nobody can have them (I12)."""
    sale = house.sell(booked(house, ANN, 1))[2]
    house.write("close_showtime")
    assert house.restock(sale, 1)[0] == "restocked"
    assert house.bits("sold") == set()
    assert house.write("claim_seats", EVE, 1)[0] == "showtime_closed"


def test_blocks_are_all_or_nothing_and_can_be_undone(house: House):
    """Free seats are blocked at once; a held, sold or blocked one among them refuses all."""
    held = house.claim(ANN, 1)
    house.sell(booked(house, BOB, 2))
    word, _, version, *seats = house.write("block_seats", "block", 0, 3, 4)
    assert (word, seats, house.read()["version"]) == ("blocked", [3, 4], version)
    before = house.dump()
    for seat, reason in ((1, b"LOCKED"), (2, b"SOLD"), (3, b"BLOCKED")):
        assert house.write("block_seats", "block", 0, 9, seat)[:4:3] == ["seats_taken", reason]
    assert house.dump() == before
    assert house.write("block_seats", "unblock", 0, 3, 9)[3:] == [3]
    assert house.write("block_seats", "unblock", 0, 3, 9)[3:] == []
    assert house.bits("blocked") == {4}
    assert house.call("read_hold", *held.name, ANN)[0] == "hold"
    house.check_consistent()


def test_evicting_ends_whole_holds_with_the_reason(house: House):
    """With evict a hold in the way ends whole, as cancelled by staff; sold seats still refuse."""
    booking = booked(house, ANN, 1, 2)
    house.claim(BOB, 3)
    house.sell(booked(house, EVE, 4))
    before = house.dump()
    assert house.write("block_seats", "block", 1, 2, 4)[2:4] == [4, b"SOLD"]
    assert house.dump() == before
    assert house.write("block_seats", "block", 1, 2, 3)[0] == "blocked"
    assert (house.bits("blocked"), house.bits("locked")) == ({2, 3}, set())
    assert house.facts()[-1]["kind"] == "booking_cancelled"
    assert '"reason":"staff"' in house.facts()[-1]["data"]
    assert house.call("read_hold", *booking.name, ANN)[0] == "hold_expired"
    house.check_consistent()


def test_blocks_take_over_lapsed_holds(house: House):
    """A lapsed booking is no obstacle: it expires, and is not told as cancelled by staff."""
    house.lapse(booked(house, ANN, 1, 2))
    assert house.write("block_seats", "block", 0, 2)[0] == "blocked"
    assert [fact["kind"] for fact in house.facts()] == ["booking_expired"]
    house.check_consistent()
