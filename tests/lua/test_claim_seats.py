"""Claiming: all or none, limits, conflicts, takeover."""

import time

import pytest

from engine.seats.ids import HoldId
from tests.lua.house import ANN, BOB, EVE, FENCE, House


@pytest.mark.covers("000.12", "001.9", "001.26", "002.2")
def test_a_claim_gives_the_seats_and_a_deadline(house: House):
    """Seats of a claim are locked for its customer until now + hold_ttl, under the next owner number."""
    before = house.read()
    hold = house.claim(ANN, 7, 5, 6)
    assert (hold.word, hold.status, hold.seats, hold.subject) == ("claimed", b"H", [5, 6, 7], ANN)
    assert (hold.owner, hold.claimed_at_ms, hold.deadline_ms) == (FENCE + 1, hold.now_ms, hold.now_ms + 600_000)
    assert (hold.extensions_left, hold.extendable_until_ms) == (10, hold.claimed_at_ms + 1_800_000)
    assert hold.version == before["version"] + 1 == house.read()["version"]
    assert house.bits("locked") == {5, 6, 7}
    assert house.redis.zscore(house.partition("lapses"), "42") == hold.deadline_ms
    house.check_consistent()


@pytest.mark.covers("000.3", "002.4", "004.6", "004.37")
def test_a_taken_seat_refuses_the_whole_claim(house: House):
    """One taken seat of several: each is told with its reason, and nothing at all changes (I4)."""
    mine, other = house.claim(ANN, 1), house.claim(BOB, 2)
    sold = house.claim(EVE, 3)
    house.check_out(sold)
    house.sell(sold)
    house.write("block_seats", "block", 0, 4)
    before = house.dump()
    word, _, *taken = house.write("claim_seats", ANN, 0, 1, 2, 3, 4, 5)
    assert word == "seats_taken"
    assert [taken[i : i + 5] for i in range(0, len(taken), 5)] == [
        [1, b"LOCKED_BY_ME", mine.deadline_ms, mine.owner, mine.claimed_at_ms],
        [2, b"LOCKED", other.deadline_ms, 0, 0],
        [3, b"SOLD", 0, 0, 0],
        [4, b"BLOCKED", 0, 0, 0],
    ]
    assert house.dump() == before


def test_a_claim_over_the_limit_of_seats_is_refused(house: House):
    """Eleven seats at a limit of ten change nothing."""
    before = house.dump()
    assert house.write("claim_seats", ANN, *range(11))[::2] == ["too_many_seats", 10]
    assert house.dump() == before
    assert house.claim(ANN, *range(10)).seats == list(range(10))


def test_scattered_seats_and_long_runs_are_claimed_exactly(closed_house: House):
    """Seats apart, side by side, first and last of the hall: the bits and cells of these and of no others are set."""
    closed_house.open(seats_per_hold_max=18)
    seats = [0, 2, 3, 4, 9, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31, 33, 38, 39]
    assert closed_house.claim(ANN, *seats).seats == seats
    assert closed_house.bits("locked") == set(seats)
    closed_house.check_consistent()


@pytest.mark.parametrize("seats", [(5, 5), (40,), (-1,), ("x",), (1.5,)])
def test_seats_that_are_none_of_the_showtime_raise(house: House, seats):
    """A doubled, outside or unreadable index breaks the contract: it raises and nothing changes."""
    before = house.dump()
    with pytest.raises(Exception, match="seats must be distinct indexes"):
        house.write("claim_seats", ANN, *seats)
    assert house.dump() == before


def test_a_third_hold_is_refused_with_the_names_of_the_two(house: House):
    """Two live holds are the limit; the refusal tells which they are (I13)."""
    first, second = house.claim(ANN, 1), house.claim(ANN, 2)
    word, _, *names = house.write("claim_seats", ANN, 3)
    assert (word, names) == ("hold_limit", [*first.name, *second.name])
    assert house.claim(BOB, 3).seats == [3]
    house.release(first)
    assert house.claim(ANN, 4).seats == [4]


def test_seats_held_and_bought_count_together(closed_house: House):
    """Bought and held seats share one limit; the refusal tells how many are left (I13)."""
    closed_house.open(seats_per_customer_max=5)
    bought = closed_house.claim(ANN, 0, 1)
    closed_house.check_out(bought)
    closed_house.sell(bought)
    closed_house.claim(ANN, 2, 3)
    assert closed_house.write("claim_seats", ANN, 4, 5)[::2] == ["seat_limit", 1]
    assert closed_house.claim(ANN, 4).seats == [4]
    assert closed_house.write("claim_seats", BOB, *range(10, 16))[::2] == ["seat_limit", 5]


def test_limits_hold_over_a_reload(closed_house: House):
    """What a customer bought before the load counts after it (I13)."""
    closed_house.open({0: 9, 1: 9}, customers={ANN: b"\0\2"}, seats_per_customer_max=3)
    assert closed_house.write("claim_seats", ANN, 4, 5)[::2] == ["seat_limit", 1]
    closed_house.check_consistent()


def test_lapsed_holds_count_for_no_limit(house: House):
    """Two holds that lapsed leave room for two more, and the claim ends them on the way."""
    old = [house.claim(ANN, 1, 2), house.claim(ANN, 3)]
    house.lapse(*old)
    assert house.claim(ANN, 10).seats == [10]
    assert house.claim(ANN, 11).seats == [11]
    assert house.bits("locked") == {10, 11}
    house.check_consistent()


@pytest.mark.covers("000.14", "001.15", "001.27", "001.31", "004.30", "004.31")
def test_a_hold_ends_at_its_deadline_with_nothing_running(closed_house: House):
    """When the time is over the version moves, the seats read as free, and the very next claim succeeds (I6)."""
    closed_house.open(hold_ttl_ms=40)
    hold = closed_house.claim(ANN, 5, 6)
    assert closed_house.read(known=hold.version)["word"] == "unchanged"
    while closed_house.now_ms() <= hold.deadline_ms + 10:  # a script's TIME may lag
        time.sleep(0.005)
    seen = closed_house.read(ANN, known=hold.version)
    assert (seen["version"], seen["lapsed"], seen["mine"]) == (hold.version + 1, [5, 6], [])
    taken = closed_house.claim(BOB, 6)
    assert taken.version > seen["version"]
    assert closed_house.bits("locked") == {6}
    assert closed_house.facts() == []
    closed_house.check_consistent()


def test_taking_over_a_lapsed_booking_tells_the_ledger(house: House):
    """A lapsed booking whose seat is claimed ends whole, and its end is a fact under the booking's id."""
    hold = house.check_out(house.claim(ANN, 5, 6))
    house.lapse(hold)
    house.claim(BOB, 6, request="r1 print trace-1")
    assert house.bits("locked") == {6}
    (fact,) = house.facts()
    booking = str(HoldId(hold.claimed_at_ms, hold.owner, 42))
    assert (fact["kind"], fact["id"], fact["showtime"], fact["generation"]) == ("booking_expired", booking, "42", "3")
    assert (fact["seq"], house.meta("seq"), fact["trace"]) == ("1", "1", "trace-1")
    assert '"seats":[5,6]' in fact["data"]
    assert '"reason":"payment_timeout"' in fact["data"]
    house.check_consistent()


def test_a_claim_takes_over_several_lapsed_holds_at_once(house: House):
    """Seats of two lapsed holds and free ones go to one claim; the other seats of both are free."""
    house.lapse(house.claim(ANN, 1, 2), house.claim(BOB, 3, 4))
    assert house.claim(EVE, 2, 3, 9).seats == [2, 3, 9]
    assert house.bits("locked") == {2, 3, 9}
    house.check_consistent()


def test_versions_only_grow_while_holds_lapse_and_are_taken_over(house: House):
    """Whatever is seen of lapsed holds, no later version is smaller (I11)."""
    seen = [house.read()["version"]]
    first, second = house.claim(ANN, 1), house.claim(BOB, 2)
    seen.append(house.read()["version"])
    house.lapse(first, second)
    seen.append(house.read()["version"])
    seen.append(house.claim(EVE, 1).version)
    seen.append(house.write("expire_holds", 10) and house.read()["version"])
    assert seen == sorted(seen)
    assert seen[-1] == seen[-2] == seen[2] + 1


def test_a_deadline_beyond_the_maximum_is_brought_down(house: House):
    """A clock set back leaves no eternal hold: the claim it refuses rewrites the deadline, and readers cap it."""
    hold = house.claim(ANN, 5)
    latest_ms = house.now_ms() + 900_000
    house.set_deadline(hold, latest_ms + 10_000_000)
    shown = house.call("read_hold", *hold.name, ANN)
    assert latest_ms <= shown[6] < latest_ms + 60_000
    word, _, _, _, deadline_ms, *_ = house.write("claim_seats", BOB, 5)
    assert word == "seats_taken"
    assert deadline_ms == house.redis.zscore(house.key("deadlines"), str(hold.owner)) < latest_ms + 60_000


def test_a_claim_looks_only_at_what_is_asked(house: House):
    """Other people's holds, live or lapsed, cost a claim of free seats nothing: it leaves them as they are."""
    others = [house.claim(BOB, 1), house.claim(EVE, 2)]
    house.lapse(*others)
    house.claim(ANN, 10)
    assert house.bits("locked") == {1, 2, 10}


@pytest.mark.parametrize("kept", ["deadline", "both"])
def test_a_number_that_somebody_has_is_damage(house: House, kept):
    """A fence that went back, and a deadline under the next number, with its record or not: whoever has it keeps it."""
    house.claim(ANN, 1)
    house.redis.hincrby(house.key("meta"), "fence", -1)
    if kept == "deadline":
        house.drop_record("holds", int(house.meta("fence")) + 1)
    before = house.dump()
    assert house.write("claim_seats", BOB, 5)[0] == "damaged"
    assert house.dump() == before
