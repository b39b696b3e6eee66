"""The seats of one showtime as the rules have them: what the checker tries its orders on. Changes can be undone."""

from math import inf

FREE, BLOCKED = 0, -1
"""What stands at a seat besides the owner number of a hold or sale; unknown claims have numbers far below."""
LIVE, LAPSED, ENDED, SOLD = "live", "lapsed", "ended", "sold"
"""A lapsed hold still has its record, until somebody takes a seat of it, or releases it."""
CLOCK_SLACK_MS = 3
NO, YES, AFTER_LAPSES = 0, 1, 2
"""Whether a step is consistent with what is; the last one: if holds whose time may be over are over."""


class Hold:
    """A hold or the sale that it became; `deadline` None is unknown, but not before `lasts`, by our clock."""

    __slots__ = ("deadline", "lasts", "owner", "seats", "status", "unsold", "vanish", "who")

    def __init__(self, owner, who, seats, deadline, vanish, unsold):
        self.owner = owner
        self.who = who
        self.seats = seats
        self.deadline = deadline
        self.vanish = vanish
        self.unsold = unsold
        self.lasts = -inf
        self.status = LIVE


class Hall:
    """Seats and holds.

    Args:
        made: `Prepared`, for its clock and for what may vanish.
        seats: the seats to look at; steps are about these only.
    """

    def __init__(self, made, seats):
        self.at = dict.fromkeys(seats, FREE)
        self.last = dict.fromkeys(seats, 0)
        self.holds = {}
        self.trail = []
        self._made = made
        self._steady = made.steady
        self._earlier, self._later = made.earlier_ms, made.later_ms

    # --- Changes, and taking them back

    def undo(self, length):
        """Take back all changes but the first `length`; gives the steps among them, newest first, and their seats."""
        trail = self.trail
        steps = []
        changed = set()
        while len(trail) > length:
            entry = trail.pop()
            match entry:
                case ("seat", seat, token):
                    self.at[seat] = token
                    changed.add(seat)
                case ("last", seat, owner):
                    self.last[seat] = owner
                case ("hold", hold, status, deadline, seats, lasts):
                    hold.status, hold.deadline, hold.seats, hold.lasts = status, deadline, seats, lasts
                case ("new", owner):
                    del self.holds[owner]
                case (_, step):
                    changed = set(step.seats)
                    steps.append((step, changed))
        return steps

    def _put(self, seat, token):
        self.trail.append(("seat", seat, self.at[seat]))
        self.at[seat] = token

    def _set(self, hold, *, status=None, deadline=inf, seats=None):
        self.trail.append(("hold", hold, hold.status, hold.deadline, hold.seats, hold.lasts))
        if status is not None:
            hold.status = status
        if deadline != inf:
            hold.deadline = deadline
            hold.lasts = -inf
        if seats is not None:
            hold.seats = seats

    def _end(self, hold):
        for seat in hold.seats:
            if self.at.get(seat) == hold.owner:
                self._put(seat, FREE)
        self._set(hold, status=ENDED)

    # --- Time

    def may_live(self, hold, step):
        """Whether a hold may be alive at the moment of a step."""
        if hold.status != LIVE:
            return False
        if hold.deadline is None or not self._steady:
            return True
        if step.now is not None:
            return step.now < hold.deadline
        return step.lo + self._earlier < hold.deadline

    def may_be_over(self, hold, step):
        """Whether a hold may have lapsed by the moment of a step, or vanished."""
        if hold.status != LIVE:
            return hold.status == LAPSED or (hold.status == SOLD and step.hi >= hold.unsold)
        if step.hi >= hold.vanish or not self._steady:
            return True
        if hold.deadline is None:
            return step.hi >= hold.lasts
        if step.now is not None:
            return step.now >= hold.deadline
        return step.hi + self._later >= hold.deadline

    def lapse(self, step):
        """Let the holds in the way of a step be over, where they may be; before the step itself."""
        for seat in self._wanted(step):
            token = self.at[seat]
            if token in (FREE, step.owner):
                continue
            hold = self.holds.get(token)
            if hold is not None and hold.status != LAPSED and self.may_be_over(hold, step):
                self._set(hold, status=LAPSED)

    def touched(self, step):
        """Give the seats that a step may change: its own, and those of holds that end by it or were seen to be over."""
        seats = set(step.seats)
        near = [entry[0] for entry in step.detail if entry[1] == "FREE"] if step.kind == "seen" else step.seats
        for seat in near:
            hold = self.holds.get(self.at[seat])
            if hold is not None and hold.status != SOLD:
                seats |= hold.seats
        return seats

    def beside(self, seats):
        """Give seats together with all seats of the holds at them: what ends one of these frees them all."""
        found = set(seats)
        for seat in seats:
            if (hold := self.holds.get(self.at[seat])) is not None:
                found |= hold.seats
        return found

    def _wanted(self, step):
        """Give the seats that a step takes."""
        match step.kind:
            case "claim":
                return step.detail
            case "block":
                return step.seats
            case "revive":
                hold = self.holds.get(step.owner)
                return () if hold is None else hold.seats & self.at.keys()
            case "change":
                return step.detail[0] & self.at.keys()
            case "sell":
                hold = self.holds.get(step.owner)
                if hold is None or (hold.status == LIVE and step.detail[0] is False):
                    return ()
                return hold.seats if step.detail[1] is None else step.detail[1] & self.at.keys()
        return ()

    # --- What was seen

    def look(self, step):
        """Say whether an observer is consistent with what is, changing nothing."""
        if step.kind == "seen":
            if step.bad is not None and self._seen(step, *step.bad) == NO:
                return NO
            verdict = YES
            for entry in step.detail:
                seen = self._seen(step, *entry)
                if seen == NO:
                    step.bad = entry
                    return NO
                verdict = max(verdict, seen)
            return verdict
        hold = self.holds.get(step.owner)
        if step.kind == "live":
            alive = hold is not None and self.may_live(hold, step) and self._deadline_agrees(hold, step.deadline)
            return YES if alive and (step.detail is None or step.detail == hold.seats) else NO
        if hold is None or hold.status != LIVE or not self.may_live(hold, step):
            return YES
        return AFTER_LAPSES if self.may_be_over(hold, step) else NO

    def differing(self, step):
        """Give the seats that an observer has seen otherwise than they are."""
        return {entry[0] for entry in step.detail if self._seen(step, *entry) != YES}

    def _seen(self, step, seat, word, owner, deadline):
        token = self.at[seat]
        if token == FREE:
            return YES if word == "FREE" else NO
        if token == BLOCKED:
            return YES if word == "BLOCKED" else NO
        hold = self.holds[token]
        if word == "FREE":
            if hold.status == LAPSED or (hold.status == LIVE and not self.may_live(hold, step)):
                return YES
            if hold.status == LIVE and not self._steady:
                return YES  # by a clock that was wrong just then; put right, it may let the hold live on
            return AFTER_LAPSES if self.may_be_over(hold, step) else NO
        if word == "SOLD":
            return YES if hold.status == SOLD and owner in (None, token) else NO
        if word == "BLOCKED" or not self.may_live(hold, step):
            return NO
        mine = step.who is not None and hold.who == step.who
        if mine != (word == "LOCKED_BY_ME") or (owner and token > 0 and owner != token):
            return NO
        return YES if self._deadline_agrees(hold, deadline) else NO

    def _deadline_agrees(self, hold, deadline):
        return deadline is None or hold.deadline is None or not self._steady or hold.deadline == deadline

    def see(self, step):
        """Let the holds be over that an observer has seen gone; False if it cannot have seen what it did."""
        verdict = self.look(step)
        if verdict == AFTER_LAPSES:
            entries = step.detail if step.kind == "seen" else [(seat, "FREE", None, None) for seat in step.seats]
            if step.kind == "not_live":
                self._set(self.holds[step.owner], status=LAPSED)
                return True
            for seat, word, *_ in entries:
                hold = self.holds.get(self.at[seat])
                if word == "FREE" and hold is not None and hold.status != LAPSED:
                    self._set(hold, status=LAPSED)
        return verdict != NO

    # --- What was done

    def apply(self, step):
        """Do a step if it can be done now; says whether it was."""
        return getattr(self, f"_{step.kind}")(step)

    def _available(self, seats):
        """Say whether seats are free, but for holds that are over; these end then, whole."""
        over = []
        for seat in seats:
            token = self.at[seat]
            if token == FREE:
                continue
            hold = self.holds.get(token)
            if hold is None or hold.status != LAPSED:
                return False
            over.append(hold)
        for hold in over:
            if hold.status != ENDED:
                self._end(hold)
        return True

    def _claim(self, step):
        if step.owner > 0 and any(self.last[seat] > step.owner for seat in step.detail):
            return False
        if not self._available(step.detail):
            return False
        made = self._made
        owner = step.owner
        vanish = made.vanish.get(owner, inf)
        unsold = made.unsold.get(owner, inf)
        self.holds[owner] = hold = Hold(owner, step.who, frozenset(step.detail), step.deadline, vanish, unsold)
        if step.deadline is None:
            hold.lasts = step.lo + made.ttl_ms - CLOCK_SLACK_MS
        self.trail.append(("new", owner))
        for seat in step.detail:
            self._put(seat, owner)
            if owner > 0:
                self.trail.append(("last", seat, self.last[seat]))
                self.last[seat] = owner
        return True

    def _deadline(self, step):
        hold = self.holds.get(step.owner)
        if hold is None or not self.may_live(hold, step):
            return False
        self._set(hold, deadline=step.deadline)
        return True

    def _change(self, step):
        hold = self.holds.get(step.owner)
        if hold is None or not self.may_live(hold, step):
            return False
        add, remove, told = step.detail
        seats = (hold.seats | (add & self.at.keys())) - remove
        if told is not None and seats != told & self.at.keys():
            return False
        if not self._available(seats - hold.seats):
            return False
        for seat in hold.seats - seats:
            self._put(seat, FREE)
        for seat in seats - hold.seats:
            self._put(seat, hold.owner)
        self._set(hold, seats=seats)
        return True

    def _release(self, step):
        hold = self.holds.get(step.owner)
        if hold is None or hold.status not in (LIVE, LAPSED):
            return False
        self._end(hold)
        return True

    def _revive(self, step):
        """Let a hold that is over live on, as an earlier copy of Redis has it."""
        hold = self.holds.get(step.owner)
        if hold is None or hold.status not in (LAPSED, ENDED):
            return False
        lost = [seat for seat in hold.seats & self.at.keys() if self.at[seat] != hold.owner]
        if not self._available(lost):
            return False
        for seat in lost:
            self._put(seat, hold.owner)
        self._set(hold, status=LIVE, deadline=None)
        return True

    def _over(self, step):
        """A release that does not tell whether there was anything to release."""
        hold = self.holds.get(step.owner)
        if hold is None:
            return False
        if hold.status in (LIVE, LAPSED):
            self._end(hold)
        return True

    def _sell(self, step):
        hold = self.holds.get(step.owner)
        if hold is None:
            return False
        late, seats = step.detail
        # A sale that is only known by its booking is of all seats that the hold had.
        seats = hold.seats if seats is None else seats & self.at.keys()
        if late is not True and self.may_live(hold, step) and hold.seats == seats:
            self._set(hold, status=SOLD)
            return True
        gone = hold.status == ENDED or (hold.status == SOLD and not self._has_seats(hold))
        if late is False or not (gone or self.may_be_over(hold, step)):
            return False
        length = len(self.trail)
        self._end(hold)
        if not self._available(seats):
            self.undo(length)
            return False
        for seat in seats:
            self._put(seat, hold.owner)
        self._set(hold, status=SOLD, seats=seats)
        return True

    def _has_seats(self, hold):
        return any(self.at.get(seat) == hold.owner for seat in hold.seats)

    def _restock(self, step):
        hold = self.holds.get(step.owner)
        freed, seats = step.detail
        sold = hold is not None and hold.status == SOLD
        theirs = {seat for seat in seats & self.at.keys() if sold and self.at[seat] == step.owner}
        if freed is not None and theirs != freed & self.at.keys():
            return False
        if freed is None and not theirs:
            return False
        for seat in theirs:
            self._put(seat, FREE)
        if theirs and not self._has_seats(hold):
            self._set(hold, status=ENDED)
        return True

    def _block(self, step):
        evicted = []
        for seat in step.seats:
            token = self.at[seat]
            if token == FREE:
                continue
            hold = self.holds.get(token)
            if hold is None or hold.status == SOLD:
                return False
            if hold.status != LAPSED and not (step.detail and self.may_live(hold, step)):
                return False
            evicted.append(hold)
        for hold in evicted:
            if hold.status != ENDED:
                self._end(hold)
        for seat in step.seats:
            self._put(seat, BLOCKED)
        return True

    def _unblock(self, step):
        for seat in step.seats:
            if self.at[seat] == BLOCKED:
                self._put(seat, FREE)
        return True

    def shape(self):
        """Give what tells this state from others."""
        return tuple(self.at.values()), tuple(
            (hold.owner, hold.status, hold.deadline)
            for hold in map(self.holds.get, sorted(set(self.at.values()), key=repr))
            if hold is not None
        )
