"""The history checker: correct histories pass, whatever overlaps in them; each planted fault is found."""

import os
import time
from random import Random

import pytest

from tests.simulation.checker import check
from tests.simulation.history import Call
from tests.simulation.made_up import OFFSET_MS, MadeUp

CALLS = 400
SEED = int(os.environ.get("SEED", Random().getrandbits(32)))
T0 = 10_000.0
"""When the short histories below begin, by our clock, in ms; Redis' clock stands OFFSET ahead of it."""
OFFSET = 1_000_000_000
TTL = 1_000


def made_up(seed, calls=CALLS, **options):
    """Give a correct history, and print what repeats it."""
    print(f"SEED={seed} {options}")
    return MadeUp(seed, **options).play(calls)


@pytest.mark.parametrize("unknown", [0.0, 0.02])
@pytest.mark.parametrize("in_process", [True, False])
@pytest.mark.parametrize("buyers", [4, 16])
def test_a_correct_history_is_explained(buyers, in_process, unknown):
    """Whatever buyers do, and however their calls overlap and get lost, what a seat map answered is explained."""
    for turn, seats in enumerate((3, 12, 40)):
        calls = made_up(SEED + turn, buyers=buyers, seats=seats, in_process=in_process, unknown=unknown)
        report = check(calls)
        assert not report.violations, f"SEED={SEED + turn}\n{report}"
        # Where many calls are lost and none tells its time there may be too many orders to try; it says so.
        assert report.correct or (unknown and not in_process and buyers > 4), f"SEED={SEED + turn}\n{report}"
        assert report.conflicts >= report.claims / 5
        assert (report.unknown > 0) == (unknown > 0)


def test_a_history_read_in_any_order_is_the_same():
    """Lines of several writers come in any order."""
    calls = made_up(SEED)
    Random(SEED).shuffle(calls)
    assert check(calls).correct


def test_long_histories_take_time_in_proportion():
    """Four thousand calls of four showtimes are checked in a few seconds at most; it is a hundred thousand in ten."""
    calls = []
    for number in range(1, 5):
        calls += made_up(number, 1_000, buyers=16, seats=40, unknown=0.002, showtime=number)
    began = time.process_time()
    assert check(calls).correct
    took_s = time.process_time() - began
    print(f"{len(calls) / took_s:,.0f} calls/s")
    assert took_s < 6


def test_a_kept_answer_to_a_payment_says_nothing_of_its_hold():
    """The page of a payment is given again under its key, though somebody else has the seats by then."""
    story = anna().tell("open_payment", None, who="anna", owner=1)
    story.claim("budi", 2, 1, at=1_500).tell("open_payment", "payment_opened", who="anna", owner=1)
    for call in story.calls:
        if call.op == "open_payment":
            call.args["gateway"] = True
    assert check(story.calls).correct
    del call.args["gateway"]
    assert not check(story.calls).correct


def test_an_eviction_frees_seats_that_it_does_not_name():
    """Staff block one seat of a hold, and somebody has the other one before staff hear that it is done."""
    story = anna()
    story.calls.append(Call("block", 42, {"seats": [1], "evict": True}, T0 + 10, T0 + 50, {"word": "blocked"}))
    assert not check(story.claim("budi", 2, 2, at=5).calls).correct
    story.calls.pop()
    assert check(story.claim("budi", 2, 2, at=20).calls).correct


# --- Planted faults


class Story:
    """A short history, told call by call; each begins when the one before has ended, unless `at` says otherwise."""

    def __init__(self):
        self.calls = []
        self.clock = T0

    def tell(self, op, word, *, at=None, took=4, **fields):
        """Add a call; names of arguments go to `args`, all others to the result, of which `now` is made."""
        start = self.clock if at is None else T0 + at
        self.clock = max(self.clock, start + took + 1)
        args = {
            name: fields.pop(name) for name in ("who", "owner", "seats", "add", "remove", "request") if name in fields
        }
        result = None if word is None else {"word": word, "now": int(start + took / 2) + OFFSET, **fields}
        if word == "claimed":
            result |= {"owner": args.pop("owner"), "seats": args["seats"]}
            result.setdefault("deadline", result["now"] + TTL)
        elif word in ("changed", "restocked", "confirmed"):
            result["seats"] = args["seats"]
        self.calls.append(Call(op, 42, args, start, None if word is None else start + took, result))
        return self

    def claim(self, who, owner, *seats, **fields):
        """Somebody claims seats and gets them."""
        return self.tell("claim", "claimed", who=who, owner=owner, seats=list(seats), **fields)

    def refuse(self, who, taken, **fields):
        """Somebody is told that seats are taken: {seat: reason}."""
        entries = [(seat, reason, None, None) for seat, reason in taken.items() if reason != "FREE"]
        return self.tell("claim", "seats_taken", who=who, seats=list(taken), taken=entries, **fields)

    def map(self, at=None, **status):
        """Somebody sees the map; s1="SOLD"."""
        entries = [(int(seat[1:]), word) for seat, word in status.items()]
        return self.tell("read_map", "map", who="eve", status=entries, at=at)

    def sell(self, who, owner, *seats, late=False, **fields):
        """A hold becomes a sale."""
        return self.tell("sell", "sold", who=who, owner=owner, seats=list(seats), late=late, **fields)

    def release(self, who, owner, word="released", **fields):
        """A hold is given up."""
        return self.tell("release", word, who=who, owner=owner, **fields)

    def confirmed(self, who, owner, *seats):
        """Somebody pays over HTTP and reads the booking CONFIRMED."""
        self.tell("open_payment", "payment_opened", who=who, owner=owner)
        self.calls[-1].args["gateway"] = True
        return self.tell("read_booking", "confirmed", who=who, owner=owner, seats=list(seats))


def anna():
    """Anna has claimed seats 1 and 2."""
    return Story().claim("anna", 1, 1, 2)


FAULTS = {
    "a seat is claimed twice": (
        lambda: anna().claim("budi", 2, 2, 3),
        lambda: anna().release("anna", 1).claim("budi", 2, 2, 3),
    ),
    "a seat is sold twice": (
        lambda: anna().sell("anna", 1, 1, 2).claim("budi", 2, 3).sell("budi", 2, 3, 2),
        lambda: anna().sell("anna", 1, 1, 2).claim("budi", 2, 3).sell("budi", 2, 3),
    ),
    "an owner number is given twice": (
        lambda: anna().claim("budi", 1, 3),
        lambda: anna().claim("budi", 2, 3),
    ),
    "a later claim has a lower owner number": (
        lambda: Story().claim("anna", 8, 1).claim("budi", 7, 3),
        lambda: Story().claim("anna", 7, 1).claim("budi", 8, 3),
    ),
    "an extension after the lapse succeeds": (
        lambda: anna().tell("extend", "extended", who="anna", owner=1, at=1_100, deadline=OFFSET + 12_000),
        lambda: anna().tell("extend", "extended", who="anna", owner=1, at=900, deadline=OFFSET + 12_000),
    ),
    "an extension after somebody else has taken the seats succeeds": (
        lambda: (
            anna()
            .claim("budi", 2, 1, at=1_100)
            .tell("extend", "extended", who="anna", owner=1, at=1_110, deadline=OFFSET + 12_500)
        ),
        lambda: anna().claim("budi", 2, 1, at=1_100).tell("extend", "hold_expired", who="anna", owner=1, at=1_110),
    ),
    "a hold is released by another customer": (
        lambda: anna().release("budi", 1),
        lambda: anna().release("anna", 1),
    ),
    "a claim is applied half": (
        lambda: anna().map(s1="LOCKED"),
        lambda: anna().map(s1="LOCKED", s2="LOCKED"),
    ),
    "a claim is seen half, in the middle of its call": (
        lambda: Story().claim("anna", 1, 1, 2, took=40).map(at=10, s1="LOCKED").map(at=30, s1="LOCKED", s2="LOCKED"),
        lambda: Story().claim("anna", 1, 1, 2, took=40).map(at=10).map(at=30, s1="LOCKED", s2="LOCKED"),
    ),
    "a refused claim keeps a seat": (
        lambda: anna().refuse("budi", {2: "LOCKED", 3: "FREE"}).refuse("cici", {3: "LOCKED"}),
        lambda: anna().refuse("budi", {2: "LOCKED", 3: "FREE"}).refuse("cici", {3: "FREE", 2: "LOCKED"}),
    ),
    "a release frees only one of two seats": (
        lambda: anna().release("anna", 1).refuse("budi", {1: "LOCKED", 2: "FREE"}),
        lambda: anna().release("anna", 1).claim("budi", 2, 1, 2),
    ),
    "a map is stale": (
        lambda: anna().sell("anna", 1, 1, 2).map(s1="LOCKED", s2="LOCKED"),
        lambda: anna().sell("anna", 1, 1, 2).map(s1="SOLD", s2="SOLD"),
    ),
    "two maps come in the wrong order": (
        lambda: Story().claim("anna", 1, 1, took=90).map(at=10, s1="LOCKED").map(at=30).map(at=50, s1="LOCKED"),
        lambda: Story().claim("anna", 1, 1, took=90).map(at=10).map(at=45, s1="LOCKED").map(at=60, s1="LOCKED"),
    ),
    "an acknowledged sale is lost": (
        lambda: anna().confirmed("anna", 1, 1, 2).tell("lost", "lost").claim("budi", 2, 1),
        lambda: anna().tell("lost", "lost").claim("budi", 2, 1),
    ),
    "a sale is lost from the map": (
        lambda: anna().sell("anna", 1, 1, 2).map(s1="SOLD"),
        lambda: anna().sell("anna", 1, 1, 2).map(s1="SOLD", s2="SOLD"),
    ),
    "a restock frees seats of a later sale": (
        lambda: (
            anna()
            .sell("anna", 1, 1, 2)
            .tell("restock", "restocked", owner=1, seats=[1, 2])
            .claim("budi", 2, 1)
            .sell("budi", 2, 1)
            .tell("restock", "restocked", owner=1, seats=[1])
        ),
        lambda: (
            anna()
            .sell("anna", 1, 1, 2)
            .tell("restock", "restocked", owner=1, seats=[1, 2])
            .claim("budi", 2, 1)
            .sell("budi", 2, 1)
        ),
    ),
    "a repeated request has a second effect": (
        lambda: Story().claim("anna", 1, 1, request="r").release("anna", 1).claim("anna", 2, 1, request="r"),
        lambda: Story().claim("anna", 1, 1, request="r").release("anna", 1).claim("anna", 2, 1, request="s"),
    ),
    "a repeat of a lost request claims again": (
        lambda: (
            Story()
            .tell("claim", None, who="anna", seats=[1], request="r")
            .claim("anna", 1, 1, request="r")
            .refuse("anna", {1: "LOCKED"})
        ),
        lambda: (
            Story()
            .tell("claim", None, who="anna", seats=[1], request="r")
            .claim("anna", 1, 1, request="r")
            .refuse("anna", {1: "LOCKED_BY_ME"})
        ),
    ),
    "a hold lives on after its deadline": (
        lambda: anna().refuse("budi", {1: "LOCKED", 2: "FREE"}, at=1_200),
        lambda: anna().claim("budi", 2, 1, 2, at=1_200),
    ),
    "a hold is gone before its deadline": (
        lambda: anna().claim("budi", 2, 1, at=500),
        lambda: anna().refuse("budi", {1: "LOCKED"}, at=500),
    ),
    "a late sale is of seats that somebody else holds": (
        lambda: anna().claim("budi", 2, 2, at=1_100).sell("anna", 1, 1, 2, late=True),
        lambda: anna().claim("budi", 2, 3, at=1_100).sell("anna", 1, 1, 2, late=True),
    ),
    "a lapsed hold is sold as if it lived": (
        lambda: anna().sell("anna", 1, 1, 2, at=1_100),
        lambda: anna().sell("anna", 1, 1, 2, at=1_100, late=True),
    ),
    "a change takes a seat that somebody holds": (
        lambda: (
            anna()
            .claim("budi", 2, 3)
            .tell(
                "change", "changed", who="anna", owner=1, add=[3], remove=[], seats=[1, 2, 3], deadline=OFFSET + 11_002
            )
        ),
        lambda: (
            anna()
            .claim("budi", 2, 3)
            .tell("change", "seats_taken", who="anna", owner=1, add=[3], remove=[], taken=[(3, "LOCKED", None, None)])
        ),
    ),
    "a claim succeeds in a cancelled showtime": (
        lambda: Story().tell("cancel", "cancelled").claim("budi", 2, 1),
        lambda: Story().claim("budi", 2, 1).tell("cancel", "cancelled"),
    ),
    "a blocked seat is claimed": (
        lambda: Story().tell("block", "blocked", seats=[1]).claim("anna", 1, 1),
        lambda: Story().tell("block", "blocked", seats=[1]).tell("unblock", "unblocked", seats=[1]).claim("anna", 1, 1),
    ),
    "a deadline is told that was never given": (
        lambda: anna().tell(
            "claim", "seats_taken", who="budi", seats=[1], taken=[(1, "LOCKED", None, OFFSET + 99_999)]
        ),
        lambda: anna().tell(
            "claim", "seats_taken", who="budi", seats=[1], taken=[(1, "LOCKED", None, OFFSET + 11_002)]
        ),
    ),
    "a hold that was over lives again": (
        lambda: anna().map(at=1_100).refuse("budi", {1: "LOCKED"}, at=1_110),
        lambda: anna().tell("clock", "clock").map(at=1_100).refuse("budi", {1: "LOCKED"}, at=1_110),
    ),
    "a hold that was lost is back": (
        lambda: anna().tell("lost", "lost").claim("budi", 2, 1).release("budi", 2).refuse("cici", {1: "LOCKED"}),
        lambda: (
            anna()
            .tell("lost", "lost")
            .claim("budi", 2, 1)
            .release("budi", 2)
            .tell("lost", "lost")
            .refuse("cici", {1: "LOCKED"})
        ),
    ),
    "a hold appears that nobody has claimed": (
        lambda: Story().refuse("anna", {1: "LOCKED"}),
        lambda: Story().tell("claim", None, who="budi", seats=[1]).refuse("anna", {1: "LOCKED"}),
    ),
}


def _sees_all(stories):
    """Say whether a story is about all seats: a map, or the whole showtime."""
    return any(call.op in ("read_map", "cancel", "lost", "clock") for story in stories for call in story().calls)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault):
    """The wrong story is told from the right one, which differs in one call."""
    wrong, right = FAULTS[fault]
    wrong_calls, right_calls = wrong().calls, right().calls
    assert check(right_calls).correct, check(right_calls)
    report = check(wrong_calls)
    assert len(report.violations) == 1, report
    assert not report.undecided


@pytest.mark.parametrize("fault", [name for name, stories in FAULTS.items() if not _sees_all(stories)])
def test_a_fault_is_found_in_a_busy_history(fault):
    """The same behind a long history of the same showtime, between those of others."""
    print(f"SEED={SEED}")
    busy = MadeUp(SEED, buyers=6, unknown=0.005).play(CALLS // 4)
    other = MadeUp(SEED + 1, buyers=6, showtime=43).play(CALLS // 4)
    wrong, right = (_moved_behind(busy, story().calls) for story in FAULTS[fault])
    assert check(busy + right + other).correct
    report = check(busy + wrong + other)
    assert len(report.violations) == 1, report
    assert report.violations[0].showtime == 42


def _moved_behind(busy, story):
    """Give a story in seats, owner numbers and a time that a longer history has not used."""
    later = int(max(call.end or call.start for call in busy) - T0) + 500
    redis_later = later + int(OFFSET_MS) - OFFSET

    def moved(fields):
        fields = dict(fields)
        for name in ("seats", "add", "remove"):
            if name in fields:
                fields[name] = [seat + 100 for seat in fields[name]]
        for name, by in (("owner", 1_000), ("now", redis_later), ("deadline", redis_later)):
            if fields.get(name):
                fields[name] += by
        if "taken" in fields:
            fields["taken"] = [
                (seat + 100, word, owner, deadline and deadline + redis_later)
                for seat, word, owner, deadline in fields["taken"]
            ]
        return fields

    return [
        Call(
            call.op,
            call.key,
            moved(call.args),
            call.start + later,
            None if call.end is None else call.end + later,
            None if call.result is None else moved(call.result),
        )
        for call in story
    ]
