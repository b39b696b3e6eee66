"""What must always hold, said of what Redis has (not of the model), by the names of ARCHITECTURE.md."""

from collections import Counter
from typing import Any

from tests.simulation.model.bits import from_bitmap
from tests.simulation.model.look import Look
from tests.simulation.model.records import BLOCKED, Fact

SUCCESSES = frozenset(
    {
        "adopted",
        "blocked",
        "changed",
        "checked_out",
        "claimed",
        "closed",
        "ended",
        "expired",
        "extended",
        "frozen",
        "installed",
        "loading",
        "moved",
        "opened",
        "payment_closed",
        "payment_opened",
        "policy_changed",
        "released",
        "restocked",
        "sold",
        "unblocked",
    }
)
"""All other words leave everything as it was, but for deadlines that a clock had left beyond the maximum."""
GIVEN_BY_OWNER = {"change_hold": 5, "extend_hold": 5, "check_out": 5, "open_payment": 5, "move_hold": 5}
"""Scripts that only a live hold's own customer may use -> where the subject stands behind generation, ..."""


def check_story(look: Look) -> None:
    """I1, I9: every seat is free, or one of sold, locked, blocked; owners, holds and customers tell the same story."""
    if not look.meta:
        return
    seats = look.meta["seats"]
    sold, locked, blocked = (from_bitmap(bits, seats) for bits in (look.sold, look.locked, look.blocked))
    assert len(sold | locked | blocked) == len(sold) + len(locked) + len(blocked), "I9: a seat is two things"
    assert {seat for seat, owner in enumerate(look.owners) if owner} == sold | locked | blocked, "I9: owners"
    assert {seat for seat, owner in enumerate(look.owners) if owner == BLOCKED} == blocked, "I9: blocked"
    held = Counter(seat for hold in look.holds.values() for seat in hold[6])
    assert all(number == 1 for number in held.values()), "I1: a seat is in two holds"
    assert set(held) == locked, "I9: locked"
    assert all(look.owners[seat] == owner for owner, hold in look.holds.items() for seat in hold[6]), "I1: two owners"
    assert look.holds.keys() == look.deadlines.keys(), "I6: a hold without a deadline"
    owned: dict[bytes, set[int]] = {}
    for owner, hold in look.holds.items():
        assert hold[6], "a hold has no seat"
        owned.setdefault(hold[0], set()).add(owner)
    listed = {subject: set(customer[1]) for subject, customer in look.customers.items() if customer[1]}
    assert listed == owned, "I13: what customers have is not what is held"
    assert sum(customer[0] for customer in look.customers.values()) == len(sold), "I13: bought"
    assert all(customer != (0, ()) for customer in look.customers.values())
    assert look.checkouts.keys() <= look.holds.keys()
    assert not look.deadlines or 0 < look.meta["next_lapse_ms"] <= min(look.deadlines.values()), "I6: the timer's hint"


def check_step(
    name: str, args: tuple[Any, ...], answer: list[Any], before: Look, after: Look, news: list[Fact]
) -> None:
    """What one call may and must have changed."""
    word = answer[0]
    assert [fact.seq for fact in news] == list(range(_seq(before) + 1, _seq(before) + 1 + len(news))), "I8: seq"
    if word not in SUCCESSES:
        check_nothing_changed(word, before, after, news)
    elif word not in {"opened", "adopted"} and before.meta:
        assert after.meta["version"] >= before.meta["version"], "I11: the version went back"
        assert after.meta["version"] > before.meta["version"] or _map(before) == _map(after), "I11: an unseen change"
    if word == "opened" or word == "adopted":
        assert not before.meta or after.meta["version"] > before.meta["version"] + len(before.holds), "I11: a load"
    check_owner(name, args, answer, before)
    if word == "claimed":
        check_claim(args, answer, before, after)
    if word in {"claimed", "changed", "moved"}:
        check_limits(answer, before, after)
    if word == "seats_taken":
        assert all(deadline == 0 or deadline > answer[1] for deadline in answer[4::5]), "I6: a lapsed hold refuses"
    if word == "sold":
        check_sale(args, answer, before, after)
    if word == "restocked":
        check_restock(args, answer, before, after)
    if name not in {"sell_seats", "restock_seats", "open_showtime"}:
        assert before.sold == after.sold or not before.meta, f"I12: {name} moved sold seats"


def check_nothing_changed(word: str, before: Look, after: Look, news: list[Fact]) -> None:
    """I4, I7: a refusal, a replay and a reading change nothing."""
    assert news == [], f"{word} told {news}"
    changed = before.differences(after)
    if word == "seats_taken":
        mended = changed.pop("deadlines", ({}, {}))
        assert all(after.deadlines[owner] <= deadline for owner, deadline in mended[0].items()), "I6: mended upwards"
        changed.pop("hint", None)
        meta = {field for field, value in before.meta.items() if after.meta[field] != value}
        assert meta <= {"next_lapse_ms"}, f"{word} changed {meta}"
        changed.pop("meta", None)
    assert changed == {}, f"{word} changed {changed}"


def check_owner(name: str, args: tuple[Any, ...], answer: list[Any], before: Look) -> None:
    """I5: a live hold is used by its own customer only."""
    if name in GIVEN_BY_OWNER and answer[0] in SUCCESSES:
        owner, claimed_at_ms, subject = args[3:6]
        hold = before.holds[owner]
        assert (hold[0], hold[1]) == (subject, claimed_at_ms), f"I5: {name} of somebody else"
        assert before.deadlines[owner] > answer[1], f"I5: {name} of a lapsed hold"
    if name == "release_hold" and answer[0] == "released" and args[5]:
        assert before.holds[args[3]][0] == args[5], "I5: released by somebody else"


def check_claim(args: tuple[Any, ...], answer: list[Any], before: Look, after: Look) -> None:
    """I4, I5: a claim gives exactly what was asked, and takes it from nobody who had it."""
    seats = sorted(args[4:])
    assert answer[12:] == seats, "I4: another number of seats"
    assert [seat for seat, owner in enumerate(after.owners) if owner == answer[3]] == seats, "I4: in parts"
    assert answer[3] not in {*before.owners, *before.holds}, "I1: a number was given twice"
    assert before.meta["status"] == "open", "I12: claimed of a closed showtime"
    for seat in seats:
        owner = before.owners[seat]
        assert not owner or before.deadlines.get(owner, answer[1] + 1) <= answer[1], "I5: taken from a live hold"


def check_limits(answer: list[Any], before: Look, after: Look) -> None:
    """I13: no claim, change or move takes a customer over a limit; what only shrinks may stay over one."""
    rules, subject, now_ms = after.meta["policy"], answer[10], answer[1]
    mine = [owner for owner, hold in after.holds.items() if hold[0] == subject and after.deadlines[owner] > now_ms]
    if answer[0] != "changed":
        assert len(mine) <= rules.holds_per_customer_max, "I13: holds"
    had = len(before.holds[answer[3]][6]) if answer[0] == "changed" else 0
    if len(answer[12:]) > had:
        seats = sum(len(after.holds[owner][6]) for owner in mine) + after.customers[subject][0]
        assert seats <= rules.seats_per_customer_max, "I13: seats"
        assert answer[0] == "moved" or len(answer[12:]) <= rules.seats_per_hold_max, "I13: seats of a hold"


def check_sale(args: tuple[Any, ...], answer: list[Any], before: Look, after: Look) -> None:
    """I5, I12: a live hold is sold whole to its own; a late payment takes free seats only; nothing closed is sold."""
    owner, claimed_at_ms, subject, seats, now_ms = *args[3:6], sorted(args[9:]), answer[1]
    rules, hold = before.meta["policy"], before.holds.get(owner)
    assert before.meta["status"] != "cancelled", "I12: sold though cancelled"
    assert now_ms < rules.ends_ms, "I12: sold though ended"
    assert all(after.owners[seat] == owner for seat in seats), "I4: sold in parts"
    if answer[3] == 0:
        assert hold and before.deadlines[owner] > now_ms, "I5: a lapsed hold was sold as if it lived"
        assert hold[1] == claimed_at_ms, "I5: another hold of that number"
        assert hold[0] == subject or hold[5], "I5: sold to somebody else"
        assert list(hold[6]) == seats, "I5: other seats than those held"
    else:
        assert not hold or before.deadlines[owner] <= now_ms, "I5: a live hold was sold late"
        assert before.meta["status"] == "open", "I12: a late payment for a frozen showtime"
        for seat in seats:
            had = before.owners[seat]
            assert not had or before.deadlines.get(had, now_ms + 1) <= now_ms, "I1: a late payment took a seat"


def check_restock(args: tuple[Any, ...], answer: list[Any], before: Look, after: Look) -> None:
    """I12: a restock frees sold seats of its own sale, each once."""
    sale, freed = int(args[5]), answer[2:]
    seats = before.meta["seats"]
    assert all(before.owners[seat] == sale for seat in freed), "I12: freed a seat of another sale"
    assert from_bitmap(before.sold, seats) - from_bitmap(after.sold, seats) == set(freed), "I12: freed other seats"
    assert set(freed) <= {int(seat) for seat in args[7:]}, "I12: freed more than was asked"


def _seq(look: Look) -> int:
    return look.meta.get("seq", 0)


def _map(look: Look) -> tuple[Any, ...]:
    return look.sold, look.locked, look.blocked, look.owners, look.meta["status"]
