"""From calls to steps: what each answer says of seats, and what may have happened besides."""

from collections import defaultdict
from math import inf

from tests.simulation.history import Call
from tests.simulation.steps import Step, succeeded


class Maker:
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
            if succeeded(call):
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
        if call.result is not None and call.result["word"] == "payment_opened" and "gateway" not in call.args:
            self._add("live", call, seats, owner)
        # Over HTTP the answer may be one that was kept, and the booking over since.
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
        closings = [call for call in self.calls if call.op == "cancel" and (call.unknown or succeeded(call))]
        for owner, claim in self.claims.items():
            starts = sorted(loss.start for loss in self.losses if claim.start <= loss.end)
            for start in starts[1:]:  # there and back again: a copy that was taken before may have it still
                back = Call("claim", claim.key, claim.args, start)
                self._add("revive", back, self.seats_of[owner], owner)
            starts += [call.start for call in closings]
            if starts:
                self.made.vanish[owner] = min(starts)
            if closings:
                self.made.unsold[owner] = min(call.start for call in closings)
        if closings or self.losses:
            for step in self.made.steps:
                if step.kind == "claim" and step.owner < 0:
                    self.made.vanish[step.owner] = step.lo
