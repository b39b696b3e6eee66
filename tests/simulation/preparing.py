"""From the calls of one showtime to steps, and whatever can be judged without a search."""

from collections import defaultdict
from math import inf

from tests.simulation.history import Call
from tests.simulation.making import Maker
from tests.simulation.steps import Prepared, succeeded

GIVING = ("claim", "change", "deadline", "sell")
CLOCK_TOLERANCE_MS = 2.0
"""By how much the answers' times may contradict each other: clocks of the machine drift against each other."""


def prepare(showtime: int, calls: list[Call], marks: list[Call]) -> Prepared:
    """Make steps of the calls of one showtime.

    Args:
        showtime: its number.
        calls: of it, in any order.
        marks: what happened to Redis meanwhile.
    """
    made = Prepared(showtime)
    made.steady = not any(mark.op == "clock" for mark in marks)
    losses = [mark for mark in marks if mark.op == "lost"]
    calls = _once_each(made, calls, losses)
    claims = _claims(made, calls)
    Maker(made, calls, claims, losses).make()
    for step in made.steps:
        if not step.seats:  # a map: what it does not name is free
            told = {entry[0] for entry in step.detail}
            step.detail += [(seat, "FREE", None, None) for seat in made.seats if seat not in told]
    _set_clock(made)
    _follow_the_fence(made)
    _judge_closing(made, calls)
    return made


def _once_each(made, calls, losses):
    """Make one call of a request and its repeats: it has happened once, between the first asking and the first yes."""
    groups = defaultdict(list)
    rest = []
    for call in calls:
        request = call.args.get("request")
        (groups[call.op, call.args.get("who"), request] if request else rest).append(call)
    for group in groups.values():
        done = [call for call in group if succeeded(call)]
        rest += [call for call in group if call.result is not None and not succeeded(call)]
        if not done:
            rest += group[:1] if group[0].unknown else [call for call in group if call.unknown][:1]
            continue
        first = min(done, key=lambda call: call.end)
        start = min(call.start for call in group)
        if len({call.result.get("owner", 0) for call in done} | set()) > 1 or _moved_twice(done):
            forgotten = any(loss.start <= max(call.end for call in done) and loss.end >= start for loss in losses)
            if not forgotten:
                made.fail("a repeated request had a second effect", *done)
            rest += done
            continue
        told = next((call for call in done if not call.result.get("replayed")), first)
        rest.append(Call(told.op, told.key, told.args, start, first.end, told.result))
    return rest


def _moved_twice(done):
    return done[0].op != "claim" and len({call.result.get("deadline", 0) for call in done}) > 1


def _claims(made, calls):
    """Give owner -> the claim that made the hold; unknown claims are found out by what was heard of their holds."""
    claims = {}
    for call in calls:
        if call.op == "claim" and succeeded(call):
            other = claims.setdefault(call.result["owner"], call)
            if other is not call:
                made.fail(f"owner number {call.result['owner']} was given twice", other, call)
    unknown = [call for call in calls if call.op == "claim" and call.unknown]
    for call in sorted(calls, key=lambda call: call.start):
        for owner, seat in _owners_heard_of(call):
            if owner in claims:
                continue
            suits = [
                claim
                for claim in unknown
                if claim.args["who"] == call.args.get("who")
                and (seat is None or seat in claim.args["seats"])
                and (call.end is None or claim.start <= call.end)
            ]
            if suits:
                found = max(suits, key=lambda claim: claim.start)
                unknown.remove(found)
                claims[owner] = found
                end = call.end if call.result is not None else None
                result = {"word": "claimed", "owner": owner, "deadline": None, "seats": found.args["seats"]}
                calls.remove(found)
                calls.append(Call("claim", found.key, found.args, found.start, end, result if end else None))
                claims[owner] = calls[-1]
            else:
                made.fail(f"hold {owner} was claimed by nobody", call)
                claims[owner] = call
    return claims


def _owners_heard_of(call):
    """Give the owner numbers that a call's answer tells its customer, each with a seat."""
    for seat, _, owner, *_ in (call.result or {}).get("taken", ()):
        if owner:
            yield owner, seat
    if succeeded(call) and call.op != "claim" and call.args.get("owner"):
        yield call.args["owner"], None


def _set_clock(made):
    """Find out how Redis' clock stands to ours, and narrow the steps that tell its time."""
    exact = [step for step in made.steps if step.now is not None and step.hi < inf]
    if not exact or not made.steady:
        made.steady = made.steady and bool(exact)
        return
    earliest = max(exact, key=lambda step: step.now - step.hi)
    latest = min(exact, key=lambda step: step.now + 1 - step.lo)
    low, high = earliest.now - earliest.hi, latest.now + 1 - latest.lo
    if low > high + CLOCK_TOLERANCE_MS:
        made.fail("the times that answers tell contradict each other", earliest.call, latest.call)
        made.steady = False
        return
    given = [step.deadline - step.now for step in exact if step.kind == "claim" and step.deadline]
    made.ttl_ms = min(given, default=0)
    made.earlier_ms, made.later_ms = min(low, high), max(low, high)
    for step in exact:
        step.lo = max(step.lo, step.now - made.later_ms)
        step.hi = min(step.hi, step.now + 1 - made.earlier_ms)


def _follow_the_fence(made):
    """Owner numbers grow: whoever has the higher one was later. Narrow the claims by it."""
    claims = sorted((s for s in made.steps if s.kind == "claim" and s.owner > 0), key=lambda step: step.owner)
    before = None
    for step in claims:
        if before is not None and step.lo < before.lo:
            if before.lo > step.hi:
                made.fail("a later claim was given a lower owner number", before.call, step.call)
                return
            step.lo = before.lo
        before = step
    after = None
    for step in reversed(claims):
        if after is not None and step.hi > after.hi:
            step.hi = after.hi
        after = step


def _judge_closing(made, calls):
    """After a showtime was cancelled nothing is given any more (I12)."""
    closings = [call for call in calls if call.op == "cancel" and (call.unknown or succeeded(call))]
    if not closings:
        return
    first = min(closings, key=lambda call: call.start)
    given = [s for s in made.steps if s.kind in GIVING and s.call.op != "close_payment" and s.hi < inf]
    latest = max(given, key=lambda step: step.lo, default=None)
    ends = [call.end for call in closings if call.end is not None]
    ends += [c.end for c in calls if c.result and c.result.get("closed") == "CANCELLED" and c.end is not None]
    if latest is not None and ends and latest.lo > min(ends):
        made.fail("something was given after the showtime was cancelled", first, latest.call)
