"""Holds of a cancelled showtime: over for their owners at once, ended some at a call."""

import json

import pytest

from tests.lua.house import ANN, BOB, EVE, GENERATION, HoldAnswer, House


@pytest.fixture
def cancelled(house: House):
    """A showtime that is cancelled under a hold of Ann (1, 2), bookings of Bob (3, 4) and Eve (5), the last lapsed."""
    house.held = house.claim(ANN, 1, 2)
    house.booking = house.check_out(house.claim(BOB, 3, 4))
    house.write("open_payment", *house.booking.name, BOB)
    house.lapsed = house.check_out(house.claim(EVE, 5))
    house.lapse(house.lapsed)
    assert house.write("close_showtime")[0] == "closed"
    return house


def test_holds_end_with_their_showtime(cancelled: House):
    """Every seat of them is free, the map's version moves, and each booking's end is a fact with its reason."""
    version = cancelled.read()["version"]
    assert cancelled.write("end_holds", 10)[2:] == [3, 0]
    # The lapsed one was counted already.
    assert (cancelled.bits("locked"), cancelled.read()["version"]) == (set(), version + 2)
    ends = [(fact["kind"], json.loads(fact["data"])["reason"]) for fact in cancelled.facts()]
    assert sorted(ends) == [("booking_cancelled", "showtime_cancelled"), ("booking_expired", "payment_timeout")]
    assert cancelled.redis.zscore(cancelled.partition("lapses"), cancelled.showtime) is None
    cancelled.check_consistent()


def test_one_call_ends_no_more_than_it_may(cancelled: House):
    """So that no other showtime of the partition waits for long; the last call finds nothing."""
    assert [cancelled.write("end_holds", 2)[2:] for _ in range(3)] == [[2, 1], [1, 0], [0, 0]]
    cancelled.check_consistent()


def test_only_a_cancelled_showtime_loses_its_holds(house: House):
    """Whoever forgot to close the showtime first is told, and nothing ends."""
    house.claim(ANN, 1)
    before = house.dump()
    assert house.write("end_holds", 10)[0] == "not_cancelled"
    assert house.dump() == before


def test_a_showtime_that_is_not_loaded_has_no_holds(cancelled: House):
    """There is nothing to end, and nothing to load for it."""
    cancelled.redis.delete(cancelled.key("meta"))
    assert cancelled.write("end_holds", 10)[2:] == [0, 0]


def test_calls_that_must_not_run_change_nothing(cancelled: House):
    """Late ones, those of another generation, and those that meet a hold which contradicts its seats."""
    before = cancelled.dump()
    assert cancelled.write("end_holds", 10, not_after_ms=1)[0] == "too_late"
    assert cancelled.write("end_holds", 10, generation=GENERATION + 1)[0] == "stale_generation"
    assert cancelled.dump() == before
    cancelled.set_cells(3, b"\0\0\0\0")
    for lost in ([], cancelled.records("holds")):
        for owner in lost:
            cancelled.drop_record("holds", owner)
        before = cancelled.dump()
        assert cancelled.write("end_holds", 10)[0] == "damaged"
        assert cancelled.dump() == before


def test_a_replay_gives_the_first_answer(cancelled: House):
    """The same request ends no second lot of holds."""
    first = cancelled.write("end_holds", 2, request="r1 print")
    word, _, original, *rest = cancelled.write("end_holds", 2, request="r1 print")
    assert (word, [original.decode(), *rest]) == ("replayed", first)
    assert cancelled.write("end_holds", 10)[2:] == [1, 0]


def test_holds_end_at_maxmemory(cancelled: House):
    """Its first write is a deletion, so that what was begun can be finished, facts included."""
    cancelled.redis.config_set("maxmemory", 1)
    try:
        assert cancelled.write("end_holds", 10)[2:] == [3, 0]
    finally:
        cancelled.redis.config_set("maxmemory", 0)
    cancelled.check_consistent()


def test_whoever_reads_a_hold_learns_of_the_cancellation_at_once(cancelled: House):
    """A hold is gone, a booking is shown as ended, before any call has ended them; strangers learn nothing."""
    assert cancelled.call("read_hold", *cancelled.held.name, ANN)[::2] == ["hold_expired", b"CANCELLED"]
    shown = HoldAnswer(["hold", *cancelled.call("read_hold", *cancelled.booking.name, BOB)[1:]])
    assert (cancelled.call("read_hold", *cancelled.booking.name, BOB)[0], shown.seats) == ("ended", [3, 4])
    assert cancelled.call("read_hold", *cancelled.held.name, BOB)[0] == "not_found"
    cancelled.write("end_holds", 10)
    for hold in (cancelled.held, cancelled.booking):
        assert cancelled.call("read_hold", *hold.name, hold.subject)[::2] == ["hold_expired", b"CANCELLED"]
