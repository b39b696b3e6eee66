"""From the calls of one showtime to steps: what has happened, or may have, when at the earliest and at the latest.

Whatever can be judged without a search is judged here.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.simulation.history import Call

MUTATORS = ("claim", "deadline", "change", "release", "over", "sell", "restock", "block", "unblock")
"""`deadline` stands for whatever moves one: extend, check_out, close_payment."""
GIVING = ("claim", "change", "deadline", "sell")
OBSERVERS = ("seen", "live", "not_live")
"""Some seats were seen in some state; a hold was seen alive, or not."""
WITH_EFFECT = {
    "claim": ("claimed",),
    "extend": ("extended",),
    "change": ("changed",),
    "check_out": ("checked_out",),
    "close_payment": ("payment_closed",),
    "release": ("released", "over"),
    "open_payment": ("payment_opened",),
    "sell": ("sold", "sold_already"),
    "refund": ("refunded",),
    "restock": ("restocked",),
    "block": ("blocked",),
    "unblock": ("unblocked",),
    "cancel": ("cancelled",),
}
CLOCK_TOLERANCE_MS = 2.0
"""By how much the answers' times may contradict each other: clocks of the machine drift against each other."""


class Step:
    """One thing that happened, or may have happened (`hi` is endless), at one moment between `lo` and `hi`."""

    __slots__ = (
        "bad",
        "call",
        "deadline",
        "detail",
        "hi",
        "index",
        "kind",
        "lo",
        "now",
        "order",
        "owner",
        "seats",
        "who",
    )

    def __init__(self, kind, call, seats, owner=0, *, who=None, deadline=None, detail=None, known=True):
        self.kind = kind
        self.call = call
        self.seats = seats
        self.owner = owner
        self.who = who
        self.deadline = deadline
        self.detail = detail
        self.lo = call.start
        self.hi = call.end if known and call.end is not None else inf
        result = call.result or {}
        self.now = result.get("now") if known else None
        self.order = result.get("version", inf)
        self.index = 0
        self.bad = None

    @property
    def mutates(self) -> bool:
        """Whether it may change something."""
        return self.kind in MUTATORS

    def __repr__(self) -> str:
        return f"{self.kind} {self.owner or ''} {self.call}"


@dataclass
class Violation:
    """What no order of the calls explains, and the calls that show it."""

    showtime: int
    what: str
    calls: tuple[Call, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"showtime {self.showtime}: {self.what}", *map(str, self.calls)])


@dataclass
class Prepared:
    """Steps of one showtime, and what was found wrong on the way.

    Attributes:
        vanish: owner -> the moment from which the hold may be gone without having lapsed.
        unsold: the same of seats that were sold, but not yet said to be.
        ttl_ms: what a claim gives at least.
        earlier_ms, later_ms: Redis' ms minus the machine's lie between them, if `steady`.
    """

    showtime: int
    steps: list[Step] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    seats: set[Any] = field(default_factory=set)
    vanish: dict[int, float] = field(default_factory=dict)
    unsold: dict[int, float] = field(default_factory=dict)
    ttl_ms: float = 0
    earlier_ms: float = -inf
    later_ms: float = inf
    steady: bool = True

    def fail(self, what, *calls):
        """Note what cannot be."""
        self.violations.append(Violation(self.showtime, what, calls))


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
    _Maker(made, calls, claims, losses).make()
    for step in made.steps:
        if not step.seats:  # a map: what it does not name is free
            told = {entry[0] for entry in step.detail}
            step.detail += [(seat, "FREE", None, None) for seat in made.seats if seat not in told]
    _set_clock(made)
    _follow_the_fence(made)
    _judge_closing(made, calls)
    return made


def _succeeded(call):
    return call.result is not None and call.result["word"] in WITH_EFFECT.get(call.op, ())


def _once_each(made, calls, losses):
    """Make one call of a request and its repeats: it has happened once, between the first asking and the first yes."""
    groups = defaultdict(list)
    rest = []
    for call in calls:
        request = call.args.get("request")
        (groups[call.op, call.args.get("who"), request] if request else rest).append(call)
    for group in groups.values():
        done = [call for call in group if _succeeded(call)]
        rest += [call for call in group if call.result is not None and not _succeeded(call)]
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
        if call.op == "claim" and _succeeded(call):
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
    if _succeeded(call) and call.op != "claim" and call.args.get("owner"):
        yield call.args["owner"], None


class _Maker:
    """Turns calls into steps, one method per op."""

    def __init__(self, made, calls, claims, losses):
        self.made = made
        self.calls = calls
        self.claims = claims
        self.losses = losses
        self.seats_of = {owner: set(call.args.get("seats", ())) for owner, call in claims.items()}
        for call in calls:
            if call.op == "change" and call.args["owner"] in self.seats_of:
                self.seats_of[call.args["owner"]].update(call.args.get("add", ()))
        self.seats_of = {owner: tuple(seats) for owner, seats in self.seats_of.items()}
        self.payments = {}
        self.confirmed = defaultdict(list)

    def make(self):
        """Make all steps."""
        for call in self.calls:
            if _succeeded(call):
                self._check_owner(call)
            getattr(self, f"_{call.op}", self._ignore)(call)
        self._make_sales()
        self._let_vanish()

    def _add(self, kind, call, seats, owner=0, **fields):
        if seats:
            fields.setdefault("who", call.args.get("who"))
            fields.setdefault("known", call.result is not None)
            step = Step(kind, call, tuple(seats), owner, **fields)
            self.made.steps.append(step)
            self.made.seats.update(step.seats)

    def _check_owner(self, call):
        """Only whoever claimed a hold may use it (I5)."""
        owner, who = call.args.get("owner"), call.args.get("who")
        claim = self.claims.get(owner)
        if claim is None or who is None or call.op in ("restock", "claim"):
            return
        if claim.args.get("who") != who:
            self.made.fail(f"{call.op} of a hold by another customer", claim, call)

    def _ignore(self, call):
        """A call that tells nothing about seats."""

    def _claim(self, call):
        seats = tuple(call.args["seats"])
        if call.unknown:
            self._add("claim", call, seats, -id(call), detail=seats)
        elif call.result["word"] == "claimed":
            if "seats" in call.result and set(call.result["seats"]) != set(seats):
                self.made.fail("a claim was given other seats than it asked for", call)
            owner, deadline = call.result["owner"], call.result["deadline"]
            self._add("claim", call, self.seats_of[owner], owner, deadline=deadline, detail=seats)
        elif call.result["word"] == "seats_taken":
            taken = {seat: (seat, *rest) for seat, *rest in call.result["taken"]}
            if not taken.keys() <= set(seats):
                self.made.fail("a claim was refused for seats that it did not ask for", call)
            self._add("seen", call, seats, detail=[taken.get(seat, (seat, "FREE", None, None)) for seat in seats])

    def _on_hold(self, call, kind, yes):
        """Make the step of a call that moves a deadline."""
        owner = call.args["owner"]
        seats = self.seats_of.get(owner, ())
        word = call.result["word"] if call.result else None
        if word is None or word == yes:
            deadline = call.result["deadline"] if call.result else None
            self._add(kind, call, seats, owner, deadline=deadline)
        else:
            self._refused_on_hold(call, word, owner, seats)

    def _refused_on_hold(self, call, word, owner, seats):
        claim = self.claims.get(owner)
        if claim is None or claim.args.get("who") != call.args.get("who"):
            return
        if word in ("hold_expired", "booking_expired", "not_found"):
            self._add("not_live", call, seats, owner)
        elif word in ("cannot_extend", "payment_open"):
            self._add("live", call, seats, owner)
        elif word == "seats_taken":
            self._add("seen", call, [entry[0] for entry in call.result["taken"]], detail=call.result["taken"])

    def _extend(self, call):
        self._on_hold(call, "deadline", "extended")

    def _check_out(self, call):
        self._on_hold(call, "deadline", "checked_out")

    def _close_payment(self, call):
        self._on_hold(call, "deadline", "payment_closed")

    def _change(self, call):
        owner = call.args["owner"]
        word = call.result["word"] if call.result else None
        if word in (None, "changed"):
            told = frozenset(call.result["seats"]) if call.result else None
            wanted = (frozenset(call.args.get("add", ())), frozenset(call.args.get("remove", ())), told)
            self._add("change", call, self.seats_of.get(owner, ()), owner, detail=wanted)
        else:
            self._refused_on_hold(call, word, owner, self.seats_of.get(owner, ()))

    def _release(self, call):
        owner = call.args["owner"]
        word = call.result["word"] if call.result else None
        kind = {"released": "release", "gone": "not_live"}.get(word, "over")
        if word in (None, "released", "gone", "over"):
            self._add(kind, call, self.seats_of.get(owner, ()), owner)

    def _read_hold(self, call):
        owner = call.args["owner"]
        if call.unknown:
            return
        if call.result["word"] == "hold":
            detail = frozenset(call.result["seats"])
            fields = {"deadline": call.result["deadline"], "detail": detail}
            self._add("live", call, self.seats_of.get(owner, ()), owner, **fields)
        else:
            self._refused_on_hold(call, call.result["word"], owner, self.seats_of.get(owner, ()))

    def _read_map(self, call):
        if not call.unknown and call.result["word"] == "map":
            status = [(seat, word, None, None) for seat, word in call.result["status"]]
            step = Step("seen", call, (), who=call.args.get("who"), detail=status)
            self.made.steps.append(step)
            self.made.seats.update(seat for seat, *_ in status)

    def _sell(self, call):
        seats, owner = call.args["seats"], call.args["owner"]
        if call.unknown or call.result["word"] == "sold":
            late = None if call.unknown else call.result["late"]
            self._add("sell", call, self.seats_of.get(owner, seats), owner, detail=(late, frozenset(seats)))
        elif call.result["word"] == "sold_already":
            self._add("seen", call, seats, detail=[(seat, "SOLD", owner, None) for seat in seats])
        elif call.result["word"] == "seats_taken":
            self._add("seen", call, [entry[0] for entry in call.result["taken"]], detail=call.result["taken"])

    def _restock(self, call):
        freed = None if call.unknown else frozenset(call.result["seats"]) if "seats" in call.result else frozenset()
        if call.unknown or call.result["word"] == "restocked":
            owner, seats = call.args["owner"], call.args["seats"]
            self._add("restock", call, self.seats_of.get(owner, seats), owner, detail=(freed, frozenset(seats)))

    def _block(self, call):
        if call.unknown or call.result["word"] == "blocked":
            self._add("block", call, call.args["seats"], detail=call.args.get("evict", False))
        elif call.result["word"] == "seats_taken":
            self._add("seen", call, [entry[0] for entry in call.result["taken"]], detail=call.result["taken"])

    def _unblock(self, call):
        if call.unknown or call.result["word"] == "unblocked":
            self._add("unblock", call, call.args["seats"])

    def _open_payment(self, call):
        owner = call.args["owner"]
        seats = self.seats_of.get(owner, ())
        if call.result is not None and call.result["word"] == "payment_opened":
            self._add("live", call, seats, owner)
        if "gateway" in call.args and (call.result is None or call.result["word"].startswith("payment_opened")):
            first = self.payments.setdefault(owner, call)
            if call.start < first.start:
                self.payments[owner] = call
            # A payment that fails gives more time, without the customer's doing.
            self._add("deadline", call, seats, owner, known=False)

    def _read_booking(self, call):
        if call.result is not None and call.result["word"] == "confirmed":
            self.confirmed[call.args["owner"]].append(call)
            seats = call.result["seats"]
            self._add("seen", call, seats, detail=[(seat, "SOLD", call.args["owner"], None) for seat in seats])

    def _refund(self, call):
        if call.result is None or call.result["word"] == "refunded":
            self._may_restock(call, call.args["owner"])

    def _may_restock(self, call, owner):
        """Let each seat of a sale come back, some time."""
        for seat in self.seats_of.get(owner, ()):
            detail = (None, frozenset((seat,)))
            self._add("restock", call, self.seats_of[owner], owner, known=False, detail=detail)

    def _make_sales(self):
        """Make the sales that payments over HTTP have led to, or may have."""
        for owner in sorted(self.payments.keys() | self.confirmed.keys()):
            claim = self.claims.get(owner)
            if claim is None:
                self.made.fail("a booking was confirmed that nobody has claimed", *self.confirmed[owner])
                continue
            begun = self.payments.get(owner, claim)
            told = min(self.confirmed[owner], key=lambda call: call.end, default=None)
            args = {"who": claim.args["who"], "owner": owner}
            maybe = Call("sell", begun.key, args, begun.start)
            seats = self.seats_of[owner]
            if told is None:
                self._add("sell", maybe, seats, owner, detail=(None, None))
                self._may_restock(maybe, owner)
                continue
            sale = Call("sell", begun.key, args, begun.start, told.end, {"word": "sold"})
            self._add("sell", sale, seats, owner, detail=(None, None))
            for loss in self.losses:
                if loss.start <= told.end and loss.end >= begun.start:
                    # Sold in Redis, lost with it before the ledger had it, and sold again for the same money.
                    self._add("sell", maybe, seats, owner, detail=(None, None))
                    self.made.unsold[owner] = min(loss.start, self.made.unsold.get(owner, inf))

    def _let_vanish(self):
        """A loss of Redis ends holds, and a cancelled showtime ends everything; nobody knows when exactly."""
        closings = [call for call in self.calls if call.op == "cancel" and (call.unknown or _succeeded(call))]
        for owner, claim in self.claims.items():
            starts = [loss.start for loss in self.losses if claim.start <= loss.end]
            starts += [call.start for call in closings]
            if starts:
                self.made.vanish[owner] = min(starts)
            if closings:
                self.made.unsold[owner] = min(call.start for call in closings)
        if closings or self.losses:
            for step in self.made.steps:
                if step.kind == "claim" and step.owner < 0:
                    self.made.vanish[step.owner] = step.lo


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
    closings = [call for call in calls if call.op == "cancel" and (call.unknown or _succeeded(call))]
    if not closings:
        return
    first = min(closings, key=lambda call: call.start)
    given = [s for s in made.steps if s.kind in GIVING and s.call.op != "close_payment" and s.hi < inf]
    latest = max(given, key=lambda step: step.lo, default=None)
    ends = [call.end for call in closings if call.end is not None]
    ends += [c.end for c in calls if c.result and c.result.get("closed") == "CANCELLED" and c.end is not None]
    if latest is not None and ends and latest.lo > min(ends):
        made.fail("something was given after the showtime was cancelled", first, latest.call)
