"""A customer who leaves holds to lapse again and again has to pause; who pays, releases or waits has not."""

import struct

import pytest

from engine.limits import COOL_DOWN_MAX_MS, COOL_DOWN_MEMORY_MS
from engine.seats.cool_down import cool_down_rule
from engine.settings import Settings
from tests.lua.house import ANN, BOB, House

FIRST_PAUSE_MS = 30_000


def rule(free=1, pause_ms=FIRST_PAUSE_MS):
    """The rule of a claim: lapses without consequence, the first pause."""
    return struct.pack(">BI", free, pause_ms)


def let_lapse(house: House, *seats, subject=ANN, ago_ms=10, **changes):
    """Claim seats for somebody and let time pass until the hold has lapsed and the timer has ended it."""
    hold = house.claim(subject, *(seats or (1,)))
    if changes.get("payment"):
        house.check_out(hold)
        house.write("open_payment", *hold.name, subject)
    house.set_deadline(hold, house.now_ms() - ago_ms)
    assert house.write("expire_holds", 10)[0] == "expired"
    house.check_consistent()


def claim(house: House, *, subject=ANN, by=None):
    """Claim a seat under a rule; give the outcome word and the wait in ms."""
    answer = house.write("claim_seats", subject + (rule() if by is None else by), 30)
    return answer[0], answer[2] if answer[0] == "cool_down" else 0


def test_the_first_lapses_are_free(house: House):
    """Everybody is late once."""
    let_lapse(house)
    assert claim(house)[0] == "claimed"


def test_each_further_lapse_doubles_the_pause_up_to_the_maximum(house: House):
    """30 s, 60 s, 120 s and so on from the latest lapse; others are not concerned; nothing is written."""
    let_lapse(house)
    for number in range(8):
        let_lapse(house)
        before = house.dump()
        word, wait_ms = claim(house)
        assert word == "cool_down"
        pause_ms = min(FIRST_PAUSE_MS * 2**number, COOL_DOWN_MAX_MS)
        assert pause_ms - 5_000 < wait_ms <= pause_ms
        assert house.dump() == before
    assert claim(house, subject=BOB)[0] == "claimed"


def test_the_pause_ends(house: House):
    """It is counted from the lapse, not from the last try."""
    let_lapse(house, ago_ms=FIRST_PAUSE_MS + 1_000)
    let_lapse(house, ago_ms=FIRST_PAUSE_MS + 500)
    assert claim(house)[0] == "claimed"


def test_an_hour_without_a_lapse_makes_good(house: House):
    """Old lapses are forgotten together."""
    let_lapse(house, ago_ms=COOL_DOWN_MEMORY_MS + 60_000)
    let_lapse(house, ago_ms=COOL_DOWN_MEMORY_MS + 50_000)
    let_lapse(house)
    assert claim(house)[0] == "claimed"


def test_whoever_tried_to_pay_did_not_leave_the_hold(house: House):
    """A payment that came to nothing is misfortune."""
    for _ in range(4):
        let_lapse(house, payment=True)
    assert claim(house)[0] == "claimed"


def test_whoever_gives_seats_back_never_pauses(house: House):
    """Releasing in time is what the pause asks for."""
    for _ in range(5):
        hold = house.claim(ANN, 1)
        house.write("release_hold", *hold.name, ANN, "cancelled", "customer")
    assert claim(house)[0] == "claimed"


def test_a_lapse_that_another_customer_ends_counts_as_well(house: House):
    """With no timer running the next claim of the seats ends the hold, and counts it."""
    for _ in range(2):
        hold = house.claim(ANN, 1)
        house.set_deadline(hold, house.now_ms() - 10)
        taken = house.claim(BOB, 1)
        house.write("release_hold", *taken.name, BOB, "cancelled", "customer")
    assert claim(house)[0] == "cool_down"


def test_without_a_rule_nobody_pauses(house: House):
    """Staff bring none, and nobody does where it is off."""
    for _ in range(3):
        let_lapse(house)
    assert claim(house, by=b"")[0] == "claimed"


@pytest.mark.parametrize(
    ("setting", "role", "applies"),
    [
        ("customers", "customer", True),
        ("customers", "staff", False),
        ("customers", "admin", False),
        ("everybody", "staff", True),
        ("off", "customer", False),
    ],
)
def test_the_setting_says_whom_it_concerns(setting, role, applies):
    """By default everybody but staff; the numbers are those of the settings."""
    given = cool_down_rule(Settings(cool_down=setting, cool_down_free_lapses=2, cool_down_s=5), role)
    assert given == (struct.pack(">BI", 2, 5_000) if applies else b"")
