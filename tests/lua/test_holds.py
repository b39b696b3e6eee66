"""A hold's life: change, extend, check out, pay, release."""

import pytest

from tests.lua.house import ANN, BOB, EVE, HoldAnswer, House


def change(house: House, hold: HoldAnswer, add=(), remove=(), **options):
    """Change a hold as its own customer."""
    return house.write("change_hold", *hold.name, hold.subject, len(add), *add, *remove, **options)


OWNED = {
    "change_hold": (0,),
    "extend_hold": (),
    "check_out": ("{}",),
    "open_payment": (),
    "release_hold": ("cancelled", "customer"),
}


@pytest.mark.parametrize("name", OWNED)
def test_another_customers_hold_is_not_found(house: House, name):
    """A hold id in other hands is worth nothing (I5)."""
    hold = house.claim(ANN, 1)
    before = house.dump()
    assert house.write(name, *hold.name, BOB, *OWNED[name])[0] == "not_found"
    assert house.call("read_hold", *hold.name, BOB)[0] == "not_found"
    assert house.dump() == before


@pytest.mark.parametrize("name", [name for name in OWNED if name != "release_hold"])
def test_a_lapsed_or_ended_hold_is_expired(house: House, name):
    """Once the time is over, or the hold was ended, its id answers `hold_expired`."""
    lapsed, released = house.claim(ANN, 1), house.claim(ANN, 2)
    house.lapse(lapsed)
    house.release(released)
    before = house.dump()
    for hold in (lapsed, released):
        assert house.write(name, *hold.name, ANN, *OWNED[name])[0] == "hold_expired"
        assert house.call("read_hold", *hold.name, ANN)[0] == "hold_expired"
    assert house.dump() == before


@pytest.mark.parametrize("name", [name for name in OWNED if name != "release_hold"])
def test_a_hold_that_was_never_given_is_not_found(house: House, name):
    """A number not drawn yet, or a claim in the future, names no hold."""
    hold = house.claim(ANN, 1)
    for owner, claimed_at_ms in ((hold.owner + 1, hold.claimed_at_ms), (5, hold.claimed_at_ms + 10**9)):
        assert house.write(name, owner, claimed_at_ms, ANN, *OWNED[name])[0] == "not_found"
        assert house.call("read_hold", owner, claimed_at_ms, ANN)[0] == "not_found"


def test_the_moment_of_the_claim_is_part_of_the_name(house: House):
    """The same owner number with another moment of claim is another hold: gone, not this one (ABA)."""
    hold = house.claim(ANN, 1)
    before = house.dump()
    assert house.write("extend_hold", hold.owner, hold.claimed_at_ms - 1, ANN)[0] == "hold_expired"
    assert house.write("release_hold", hold.owner, hold.claimed_at_ms - 1, b"", "expired", "x")[0] == "gone"
    assert house.dump() == before


def test_a_change_is_all_or_nothing_and_keeps_the_deadline(house: House):
    """Seats come and go in one step; with one taken seat among them nothing does."""
    house.claim(BOB, 9)
    hold = house.claim(ANN, 1, 2)
    before = house.dump()
    assert change(house, hold, add=(3, 9), remove=(1,))[0] == "seats_taken"
    assert house.dump() == before
    changed = HoldAnswer(change(house, hold, add=(3, 7), remove=(1,)))
    assert (changed.word, changed.seats, changed.deadline_ms) == ("changed", [2, 3, 7], hold.deadline_ms)
    assert changed.version == hold.version + 1
    assert house.bits("locked") == {2, 3, 7, 9}
    house.check_consistent()


def test_repeating_a_change_is_harmless(house: House):
    """Adding what is there and removing what is gone changes nothing, not even the version."""
    hold = house.claim(ANN, 1, 2)
    first = HoldAnswer(change(house, hold, add=(3,), remove=(1,)))
    again = HoldAnswer(change(house, hold, add=(3,), remove=(1,)))
    assert (again.seats, again.version) == (first.seats, first.version)


def test_a_change_keeps_the_limits(closed_house: House):
    """Too many seats, too many of the customer's, or none left: refused, nothing changed."""
    closed_house.open(seats_per_hold_max=4, seats_per_customer_max=6)
    closed_house.claim(ANN, 20, 21, 22)
    hold = closed_house.claim(ANN, 1, 2)
    before = closed_house.dump()
    assert change(closed_house, hold, add=(3, 4, 5))[::2] == ["too_many_seats", 4]
    assert change(closed_house, hold, add=(3, 4))[::2] == ["seat_limit", 1]
    assert change(closed_house, hold, remove=(1, 2))[0] == "empty_hold"
    assert closed_house.dump() == before
    assert HoldAnswer(change(closed_house, hold, add=(3, 4), remove=(1,))).seats == [2, 3, 4]


def test_a_change_takes_over_lapsed_seats(house: House):
    """Seats of a lapsed booking can be added; its end is told."""
    old = house.check_out(house.claim(BOB, 5, 6))
    house.lapse(old)
    hold = house.claim(ANN, 1)
    assert HoldAnswer(change(house, hold, add=(6,))).seats == [1, 6]
    assert [fact["kind"] for fact in house.facts()] == ["booking_expired"]
    house.check_consistent()


def test_the_customers_own_other_hold_is_named(house: House):
    """Adding a seat of one's own other hold is refused with that hold's name."""
    other, hold = house.claim(ANN, 5), house.claim(ANN, 1)
    assert change(house, hold, add=(5,))[2:] == [5, b"LOCKED_BY_ME", other.deadline_ms, *other.name]


@pytest.mark.covers("002.5")
def test_an_extension_gives_the_full_time_again_within_the_maximum(closed_house: House):
    """An extension never passes hold_max from the claim, and the tenth is the last."""
    closed_house.open(hold_ttl_ms=600_000, hold_max_ms=700_000)
    hold = closed_house.claim(ANN, 1)
    for used in range(1, 11):
        closed_house.set_deadline(hold, closed_house.now_ms() + 1_000)
        hold = HoldAnswer(closed_house.write("extend_hold", *hold.name, ANN))
        assert (hold.word, hold.extensions_left) == ("extended", 10 - used)
        assert hold.now_ms + 599_000 < hold.deadline_ms <= hold.claimed_at_ms + 700_000
    closed_house.set_deadline(hold, closed_house.now_ms() + 1_000)
    assert closed_house.write("extend_hold", *hold.name, ANN)[0] == "cannot_extend"


def test_an_extension_never_leads_past_hold_max(closed_house: House):
    """Where the full time would lead past hold_max from the claim, the rest up to it is given (trap T3)."""
    closed_house.open(hold_ttl_ms=600_000, hold_max_ms=60_000)
    hold = closed_house.claim(ANN, 1)
    closed_house.set_deadline(hold, closed_house.now_ms() + 1_000)
    extended = HoldAnswer(closed_house.write("extend_hold", *hold.name, ANN))
    assert extended.deadline_ms == hold.claimed_at_ms + 60_000


def test_an_extension_that_gains_nothing_is_refused(closed_house: House):
    """At hold_max, and after check-out, there is nothing to extend."""
    closed_house.open(hold_ttl_ms=600_000, hold_max_ms=600_000)
    hold = closed_house.claim(ANN, 1)
    assert closed_house.write("extend_hold", *hold.name, ANN)[0] == "cannot_extend"
    closed_house.set_deadline(hold, closed_house.now_ms() + 1_000)
    closed_house.check_out(hold)
    assert closed_house.write("extend_hold", *hold.name, ANN)[0] == "cannot_extend"


@pytest.mark.covers("004.7", "004.11")
def test_check_out_keeps_the_id_and_gives_one_new_deadline(house: House):
    """A hold becomes a booking under the same name, once; a repeat answers the same and renews nothing."""
    hold = house.claim(ANN, 1, 2)
    booking = house.check_out(hold)
    assert (booking.word, booking.status, booking.name) == ("checked_out", b"P", hold.name)
    assert booking.deadline_ms == booking.now_ms + 900_000
    assert (booking.extensions_left, booking.extendable_until_ms) == (0, booking.deadline_ms)
    assert booking.checkout == b'{"email":"a@b.c"}'
    again = HoldAnswer(house.write("check_out", *hold.name, ANN, "{}"))
    assert (again.word, again.deadline_ms, again.checkout) == (
        "already_checked_out",
        booking.deadline_ms,
        booking.checkout,
    )
    house.check_consistent()


def test_a_repeated_check_out_is_answered_while_frozen(house: House):
    """Asking again for a booking that exists is no new work."""
    hold = house.claim(ANN, 1)
    house.check_out(hold)
    house.write("freeze_showtime", "frozen")
    assert house.check_out(hold).word == "already_checked_out"


def test_a_booking_never_outlives_claim_max(closed_house: House):
    """The deadline after check-out is cut at claim_max from the first claim."""
    closed_house.open(claim_max_ms=800_000)
    hold = closed_house.claim(ANN, 1)
    assert closed_house.check_out(hold).deadline_ms == hold.claimed_at_ms + 800_000


def test_while_a_payment_is_open_the_seats_stay(house: House):
    """An open payment freezes the seats of a booking; when it failed they may be changed again."""
    hold = house.claim(ANN, 1)
    assert house.write("open_payment", *hold.name, ANN)[0] == "not_checked_out"
    house.check_out(hold)
    assert HoldAnswer(house.write("open_payment", *hold.name, ANN)).payment_open == 1
    assert HoldAnswer(house.write("open_payment", *hold.name, ANN)).payment_open == 1
    assert change(house, hold, add=(2,))[0] == "payment_open"
    assert HoldAnswer(house.write("close_payment", *hold.name)).payment_open == 0
    assert HoldAnswer(change(house, hold, add=(2,))).seats == [1, 2]


@pytest.mark.covers("004.20")
def test_a_failed_payment_gives_five_minutes_three_times(house: House):
    """A failure moves the deadline to now + 300 s, never back, three times, and never past claim_max."""
    hold = house.check_out(house.claim(ANN, 1))
    for attempt in range(5):
        house.write("open_payment", *hold.name, ANN)
        house.set_deadline(hold, house.now_ms() + 10_000)
        closed = HoldAnswer(house.write("close_payment", *hold.name))
        left_ms = closed.deadline_ms - closed.now_ms
        assert left_ms == 300_000 if attempt < 3 else left_ms <= 10_100  # a script's TIME may lag
        assert HoldAnswer(house.write("close_payment", *hold.name)).deadline_ms == closed.deadline_ms
    house.check_consistent()


def test_a_failed_payment_never_leads_past_claim_max(closed_house: House):
    """The time given for another try is cut at claim_max from the first claim."""
    closed_house.open(claim_max_ms=100_000)
    hold = closed_house.check_out(closed_house.claim(ANN, 1))
    closed_house.write("open_payment", *hold.name, ANN)
    closed = HoldAnswer(closed_house.write("close_payment", *hold.name))
    assert closed.deadline_ms == hold.claimed_at_ms + 100_000


def test_a_failed_payment_never_shortens_the_time(house: House):
    """A deadline later than five minutes from now stays."""
    hold = house.check_out(house.claim(ANN, 1))
    house.write("open_payment", *hold.name, ANN)
    assert HoldAnswer(house.write("close_payment", *hold.name)).deadline_ms == hold.deadline_ms


@pytest.mark.covers("002.13", "000.14")
def test_a_release_frees_the_seats_at_once(house: House):
    """A released hold's seats are free for the next claim; releasing again is harmless."""
    hold = house.claim(ANN, 1, 2)
    word, _, version = house.release(hold)
    assert (word, version) == ("released", hold.version + 1)
    assert house.release(hold)[0] == "gone"
    assert house.bits("locked") == set()
    assert house.facts() == []
    assert house.claim(BOB, 1, 2).seats == [1, 2]
    house.check_consistent()


def test_what_was_checked_out_is_not_given_back_like_a_hold(house: House):
    """It is a booking, which ends in the ledger too; a lapsed one is over, whoever says so."""
    hold = house.check_out(house.claim(ANN, 1))
    before = house.dump()
    assert house.write("release_hold", *hold.name, BOB, "given_back", "customer")[0] == "not_found"
    assert house.write("release_hold", *hold.name, ANN, "given_back", "customer")[0] == "is_booking"
    assert house.dump() == before
    house.lapse(hold)
    assert house.write("release_hold", *hold.name, ANN, "given_back", "customer")[0] == "released"
    assert house.write("release_hold", *house.claim(ANN, 1).name, ANN, "given_back", "customer")[0] == "released"
    assert house.bits("locked") == set()
    house.check_consistent()


def test_a_released_hold_leaves_the_next_owner_alone(house: House):
    """After release and a new claim of the same seats, the old name frees nothing (ABA)."""
    old = house.claim(ANN, 1)
    house.release(old)
    house.claim(ANN, 1)
    before = house.dump()
    assert house.release(old)[0] == "gone"
    assert house.dump() == before


@pytest.mark.parametrize(
    ("ending", "lapsed", "kind", "reason"),
    [
        ("cancelled", False, "booking_cancelled", "customer"),
        ("expired", False, "booking_expired", "customer"),
        ("cancelled", True, "booking_expired", "payment_timeout"),
    ],
)
def test_the_end_of_a_booking_is_a_fact(house: House, ending, lapsed, kind, reason):
    """A booking's end is told whole, with what was checked out; a lapsed one has always expired."""
    hold = house.check_out(house.claim(ANN, 1, 2))
    if lapsed:
        house.lapse(hold)
    assert house.write("release_hold", *hold.name, b"", ending, "customer")[0] == "released"
    (fact,) = house.facts()
    assert fact["kind"] == kind
    assert f'"reason":"{reason}"' in fact["data"]
    assert '"checkout":"{\\"email\\":\\"a@b.c\\"}"' in fact["data"]
    assert f'"owner":{hold.owner}' in fact["data"]
    assert f'"claimed_at_ms":{hold.claimed_at_ms}' in fact["data"]
    house.check_consistent()


def test_expiry_ends_lapsed_holds_and_finds_the_next(house: House):
    """Lapsed holds end within the limit given, bookings with a fact; the timer learns the next deadline."""
    first, second, third = house.claim(ANN, 1), house.check_out(house.claim(BOB, 2)), house.claim(EVE, 3)
    house.lapse(first, second)
    assert house.write("expire_holds", 1)[2] == 1
    word, _, ended, next_lapse_ms = house.write("expire_holds", 10)
    assert (word, ended, next_lapse_ms) == ("expired", 1, third.deadline_ms)
    assert house.redis.zscore(house.partition("lapses"), "42") == third.deadline_ms
    assert [fact["kind"] for fact in house.facts()] == ["booking_expired"]
    assert house.bits("locked") == {3}
    house.check_consistent()
    house.release(third)
    assert house.write("expire_holds", 10)[2:] == [0, 0]
    assert house.redis.zscore(house.partition("lapses"), "42") is None


def test_expiry_of_a_showtime_that_is_gone_only_forgets_the_hint(house: House):
    """The timer is not called again and again for a showtime that is not loaded."""
    house.claim(ANN, 1)
    house.redis.delete(*(house.key(name) for name in ("meta", "deadlines")))
    assert house.write("expire_holds", 10)[2:] == [0, 0]
    assert house.redis.zcard(house.partition("lapses")) == 0


def test_expiry_brings_down_deadlines_beyond_the_maximum(house: House):
    """A deadline left by a clock that was set back is rewritten to now + the maximum."""
    hold = house.claim(ANN, 1)
    house.set_deadline(hold, house.now_ms() + 10**9)
    _, now_ms, _, next_lapse_ms = house.write("expire_holds", 10)
    assert next_lapse_ms == now_ms + 900_000 == house.redis.zscore(house.key("deadlines"), str(hold.owner))


def test_operators_see_the_live_holds_by_deadline(house: House):
    """The list pages through live holds only, the next to lapse first."""
    first, second, third = house.claim(ANN, 1, 2), house.check_out(house.claim(BOB, 3)), house.claim(EVE, 4)
    house.lapse(third)
    word, _, total, *page = house.call("read_holds", 0, 1)
    assert (word, total) == ("holds", 2)
    assert page == [*first.name, b"H", first.deadline_ms, 0, ANN, 2, 1, 2]
    assert house.call("read_holds", 1, 5)[3:] == [*second.name, b"P", second.deadline_ms, 0, BOB, 1, 3]


def test_reading_a_hold_gives_the_uniform_answer(house: House):
    """A reader sees what the writer answered, and staff need no subject."""
    hold = house.check_out(house.claim(ANN, 1, 2))
    for subject in (ANN, b""):
        seen = HoldAnswer(house.call("read_hold", *hold.name, subject))
        assert (seen.word, seen.raw[2:]) == ("hold", hold.raw[2:])


@pytest.mark.covers("004.3")
def test_the_map_knows_whose_seats_it_shows(house: House):
    """A reader with a subject gets the seats of that subject's live holds."""
    house.claim(ANN, 1, 2)
    lapsed = house.claim(ANN, 4)
    house.claim(BOB, 3)
    house.lapse(lapsed)
    seen = house.read(ANN)
    assert (seen["mine"], seen["lapsed"]) == ([1, 2], [4])
    assert house.read()["mine"] == []


def test_every_answer_shows_the_version_that_readers_see(house: House):
    """Another hold that lapsed unnoticed counts as a change in each script's answer, as it does in the map (I11)."""
    lapsed, hold, other = house.claim(BOB, 1), house.claim(ANN, 2), house.claim(EVE, 3)
    house.lapse(lapsed)
    house.set_deadline(hold, house.now_ms() + 1_000)
    for name, rest in (("extend_hold", ()), ("change_hold", (1, 4)), ("check_out", ("{}",)), ("open_payment", ())):
        answer = HoldAnswer(house.write(name, *hold.name, ANN, *rest))
        assert answer.version == house.read()["version"] == HoldAnswer(house.call("read_hold", *hold.name, ANN)).version
    assert house.release(other)[2] == house.read()["version"]
    assert house.claim(EVE, 5).version == house.read()["version"]
