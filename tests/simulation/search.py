"""The search for an order of steps that a hall can live through: Wing and Gong's, just in time as Lowe's.

Steps are forced by the moment at which each must have happened. One that cannot be done yet asks for the pending ones
that share a seat with it, directly or through others. Observers are taken in as soon as they agree with what is, which
never does harm. A dead end goes back to the last choice that shares a seat with it; where a set of steps and a state
have failed before is remembered. So a correct history costs time in proportion to its length, nearly always.
"""

from math import inf

from tests.simulation.hall import AFTER_LAPSES, BLOCKED, FREE, NO, YES, Hall
from tests.simulation.steps import OBSERVERS

EXPLAINED, IMPOSSIBLE, GAVE_UP = "explained", "impossible", "gave up"


OFF_MS = 2.0
"""How far off its place a choice may be tried at most, of a search that is given a chance."""

BRINGS = {
    ("claim", "LOCKED"),
    ("claim", "LOCKED_BY_ME"),
    ("claim", "SOLD"),
    ("change", "LOCKED"),
    ("change", "LOCKED_BY_ME"),
    ("revive", "LOCKED"),
    ("revive", "LOCKED_BY_ME"),
    ("sell", "SOLD"),
    ("block", "BLOCKED"),
}
"""What a step makes of a free seat."""


class Node:
    """A choice: what was not tried yet while `forced` was due; `options` None until somebody comes back for them."""

    __slots__ = ("blamed", "forced", "options", "rank", "seats", "trail")

    def __init__(self, forced, trail, rank):
        self.forced = forced
        self.trail = trail
        self.rank = rank
        self.options = None
        self.seats = None
        self.blamed = set()


class Search:
    """One search.

    Args:
        made: `Prepared`.
        steps: the steps, about these seats only, with their `lo` and `hi`.
        seats: the seats.
        tries_max: steps tried before it gives up.
        narrow: look only at choices that touch the very seats of a dead end. This is quick and finds most orders;
            that it finds none means nothing.
        chance: lets choices be tried in an order that is a little off the best. A search that has lost its way in a
            large hall finds out quickly from another start.

    Attributes:
        stuck: the step that could not be explained, of the longest way that was found; None if there was none.
        shown: seat -> what stood there then.
        tries: steps tried.
    """

    def __init__(self, made, steps, seats, tries_max, *, narrow=False, chance=None):
        self.hall = Hall(made, seats)
        self.stuck = None
        self.shown = {}
        self.tries = 0
        self._tries_max = tries_max
        self._narrow = narrow
        self._off = (lambda: chance.uniform(0, OFF_MS)) if chance else float
        self._seats = frozenset(seats)
        self._steps = steps
        for index, step in enumerate(steps):
            step.index = index
            step.bad = None
        self._by_start = sorted(steps, key=lambda step: step.lo)
        self._forced = sorted((step for step in steps if step.hi < inf), key=_due)
        self._done = bytearray(len(steps))
        self._opened = 0
        self._horizon = -inf
        self._doers = {seat: [] for seat in seats}
        self._seers = {seat: [] for seat in seats}
        self._wide = []
        self._ahead = set()
        self._rank = 0
        self._failed = set()
        self._deepest = -1

    def run(self):
        """Search; gives EXPLAINED, IMPOSSIBLE or GAVE_UP."""
        nodes = []
        forced, done, ahead = self._forced, self._done, self._ahead
        while True:
            while self._rank < len(forced) and done[forced[self._rank].index]:
                ahead.discard(forced[self._rank].index)
                self._rank += 1
            if self._rank == len(forced):
                return EXPLAINED
            step = forced[self._rank]
            self._open(step.hi)
            if step.kind in OBSERVERS and self.hall.look(step) == YES:
                self.tries += 1
                self._mark(step)
                continue
            node = Node(step, len(self.hall.trail), self._rank)
            taken = self._try(node, step)
            while not taken and not self._take_one(node):
                self._note_stuck(node)
                if self.tries > self._tries_max:
                    return GAVE_UP
                node = self._go_back(nodes, node)
                if node is None:
                    return IMPOSSIBLE
            nodes.append(node)

    # --- What is pending

    def _open(self, horizon):
        """Let the steps be pending that have begun before a moment."""
        self._horizon = horizon
        by_start, opened = self._by_start, self._opened
        while opened < len(by_start) and by_start[opened].lo <= horizon:
            for pending in self._lists_of(by_start[opened]):
                pending.append(by_start[opened])
            opened += 1
        self._opened = opened

    def _lists_of(self, step):
        """Give the lists of pending steps that a step belongs to."""
        if not step.seats:
            return [self._wide]
        lists = self._seers if step.kind in OBSERVERS else self._doers
        return [lists[seat] for seat in step.seats]

    def _pending(self, steps):
        """Give those of a list that are pending, and forget those that are done."""
        done = self._done
        if any(done[step.index] for step in steps):
            steps[:] = [step for step in steps if not done[step.index]]
        horizon = self._horizon
        return [step for step in steps if step.lo <= horizon]

    def _find_options(self, node):
        """Find what else may be done while a step is due (the best last) and the seats that have to do with it.

        These are the pending mutators that share seats with it, directly or through others, observers too; and
        observers that have seen a hold gone that is not yet said to be over.
        """
        step = node.forced
        seats, fresh = set(), self.hall.beside(self._seats_of(step))
        direct = frozenset(fresh)
        rivals, met = [], {step.index}
        while fresh:
            seats |= fresh
            near = set()
            for seat in fresh:
                for other in self._pending(self._doers[seat]):
                    if other.index not in met:
                        met.add(other.index)
                        rivals.append(other)
                        near.update(other.seats)
                for other in self._pending(self._seers[seat]):
                    near.update(other.seats)
                    self._add_seer(other, rivals, met)
            for other in self._pending(self._wide):
                near |= self._seats
                self._add_seer(other, rivals, met)
            fresh = set() if self._narrow else self.hall.beside(near) - seats
        if self._narrow:
            rivals = [other for other in rivals if other.hi < inf or self._helps(other, step, direct)]
        rivals.sort(
            key=lambda other: (
                bool(other.seats) and direct.isdisjoint(other.seats),
                other.hi + self._off(),
                other.order,
                -other.lo,
            ),
            reverse=True,
        )
        node.options, node.seats = rivals, frozenset(seats)

    def _add_seer(self, other, rivals, met):
        if other.index not in met:
            met.add(other.index)
            if self.hall.look(other) == AFTER_LAPSES:
                rivals.append(other)

    def _seats_of(self, step):
        """Give the seats that a step is about; of one that has seen many, in a narrow search, those that differ."""
        if self._narrow and step.kind == "seen":
            differing = self.hall.differing(step)
            if differing:
                return differing
        return set(step.seats or self._seats)

    def _helps(self, other, step, seats):
        """Say whether a step that may have happened could bring about what another one needs at some seats."""
        if other.owner == step.owner != 0:
            return True
        words = {entry[0]: entry[1] for entry in step.detail} if step.kind == "seen" else {}
        for seat in other.seats:
            if seat not in seats:
                continue
            token, word = self.hall.at[seat], words.get(seat)
            if token not in (FREE, BLOCKED):
                if other.owner == token:
                    return True
            elif token == BLOCKED:
                if other.kind == "unblock":
                    return True
            elif (other.kind, word) in BRINGS and seat in (other.detail if other.kind == "claim" else other.seats):
                return True
        return False

    # --- Forward

    def _take_one(self, node):
        """Do the next of a node's options that can be done; says whether there was one."""
        if node.options is None:
            self._find_options(node)
        while node.options:
            if self._try(node, node.options.pop()):
                return True
        return False

    def _try(self, node, step):
        """Do a step, and say whether it leads anywhere, as far as one knows."""
        self.tries += 1
        taken = self._take(step)
        if taken and self._failed and self._state(node.rank) in self._failed:
            node.blamed |= node.seats or set() if self._narrow else self._seats
            taken = False
        if not taken:
            self._undo(node.trail)
        return taken

    def _take(self, step):
        hall = self.hall
        if step.kind in OBSERVERS:
            if hall.look(step) == NO:
                return False
            self._absorb(step)
            hall.see(step)
        else:
            self._absorb(step)
            length = len(hall.trail)
            hall.lapse(step)
            if len(hall.trail) > length:
                self._absorb(step)
            if not hall.apply(step):
                return False
        self._mark(step)
        return True

    def _absorb(self, step):
        """Take in the observers that agree with what is, before a step changes it."""
        look, done, horizon = self.hall.look, self._done, self._horizon
        lists = [self._seers[seat] for seat in self.hall.touched(step)]
        lists.append(self._wide)
        for seers in lists:
            over = 0
            for other in seers:
                if done[other.index]:
                    over += 1
                elif other.lo <= horizon and look(other) == YES:
                    self._mark(other)
            if over:
                seers[:] = [other for other in seers if not done[other.index]]

    def _mark(self, step):
        self._done[step.index] = 1
        self._ahead.add(step.index)
        self.hall.trail.append(("done", step))

    # --- Back

    def _state(self, rank):
        """Give what tells this point of the search from others: what is done, and how the hall stands."""
        done, forced = self._done, self._forced
        while rank < len(forced) and done[forced[rank].index]:
            rank += 1
        due = _due(forced[rank]) if rank < len(forced) else (inf, inf)
        ahead = frozenset(index for index in self._ahead if _due(self._steps[index]) >= due)
        return rank, ahead, self.hall.shape()

    def _undo(self, length):
        steps = self.hall.undo(length)
        for step, _ in steps:
            self._done[step.index] = 0
            self._ahead.discard(step.index)
            for pending in self._lists_of(step):
                if step not in pending:
                    pending.append(step)
        return steps

    def _go_back(self, nodes, dead):
        """Go back to the last choice that has to do with a dead end; None if there is none."""
        blamed = set(dead.seats) | dead.blamed
        self._failed.add(self._state(dead.rank))
        while nodes:
            node = nodes.pop()
            for step, changed in self._undo(node.trail):
                if not self._narrow and step.kind not in OBSERVERS and not blamed.isdisjoint(changed):
                    blamed |= changed
            for step in self._forced[node.rank : self._rank]:
                if self._done[step.index]:
                    self._ahead.add(step.index)
            self._rank = node.rank
            self._open(node.forced.hi)
            if node.options is None:
                self._find_options(node)
            if not blamed.isdisjoint(node.seats):
                node.blamed |= blamed
                blamed |= node.seats
                if node.options:
                    return node
            self._failed.add(self._state(node.rank))
        return None

    def _note_stuck(self, node):
        if node.rank > self._deepest:
            self._deepest = node.rank
            self.stuck = node.forced
            self.shown = {seat: self.hall.at[seat] for seat in node.forced.seats or self._seats}


def _due(step):
    return step.hi, step.order
