"""The history checker: is there an order in which one seat map could have answered all these calls as they were?

    report = check(calls)
    assert report.correct, report

A history is taken apart by showtime. First comes what needs no search (preparing.py): owner numbers grow, a request
has one effect, only its owner uses a hold. Then comes a search for one order of all calls of it (search.py), so that
what is all or nothing is so on all its seats at the same moment. If it is too much of a search, each seat must at
least have an order of its own; what is then still open is `undecided`, which is neither correct nor wrong.
"""

from collections import defaultdict
from copy import copy
from dataclasses import dataclass, field
from random import Random

from tests.simulation.history import EVERY_SHOWTIME, MARKS, Call
from tests.simulation.preparing import prepare
from tests.simulation.search import EXPLAINED, GAVE_UP, Search
from tests.simulation.steps import Violation

TRIES_PER_STEP = 30
TRIES_MIN = 20_000
STARTS = 12
"""Searches of the whole hall; those after the first try choices in another order."""
NEIGHBOURS = 8
"""Calls shown beside one that cannot be explained."""


@dataclass
class Report:
    """What came out: numbers of calls, unknown ones, claims, conflicts and showtimes; what is wrong, what is open."""

    calls: int = 0
    unknown: int = 0
    claims: int = 0
    conflicts: int = 0
    showtimes: int = 0
    tries: int = 0
    violations: list[Violation] = field(default_factory=list)
    undecided: list[Violation] = field(default_factory=list)

    @property
    def correct(self) -> bool:
        """Whether every showtime has its order."""
        return not self.violations and not self.undecided

    def add(self, other: "Report") -> None:
        """Count another report in."""
        for name in ("calls", "unknown", "claims", "conflicts", "showtimes", "tries"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.violations += other.violations
        self.undecided += other.undecided

    def __str__(self) -> str:
        counts = (
            f"{self.calls} calls of {self.showtimes} showtimes, {self.claims} claims, {self.conflicts} conflicts, "
            f"{self.unknown} unknown: {len(self.violations)} violations, {len(self.undecided)} undecided"
        )
        return "\n".join([counts, *map(str, self.violations[:5]), *map(str, self.undecided[:5])])


def check(calls: list[Call], tries_per_step: int = TRIES_PER_STEP) -> Report:
    """Check a history: the calls of any number of showtimes, and the marks, in any order."""
    showtimes = defaultdict(list)
    for call in calls:
        showtimes[call.key].append(call)
    marks = [call for call in calls if call.op in MARKS]
    report = Report()
    for showtime, mine in showtimes.items():
        if showtime != EVERY_SHOWTIME:
            theirs = [mark for mark in marks if mark.key in (EVERY_SHOWTIME, showtime)]
            report.add(check_showtime(showtime, [c for c in mine if c.op not in MARKS], theirs, tries_per_step))
    return report


def check_showtime(showtime, calls, marks=(), tries_per_step=TRIES_PER_STEP) -> Report:
    """Check the calls of one showtime."""
    claims = [call for call in calls if call.op == "claim"]
    report = Report(
        calls=len(calls),
        unknown=sum(call.unknown for call in calls),
        claims=len(claims),
        conflicts=sum(call.result is not None and call.result["word"] == "seats_taken" for call in claims),
        showtimes=1,
    )
    made = prepare(showtime, list(calls), list(marks))
    report.violations = made.violations
    if made.violations:
        return report
    outcome, search = _search(made, made.steps, made.seats, tries_per_step)
    report.tries = search.tries
    if outcome == EXPLAINED:
        return report
    if outcome == GAVE_UP:
        found, tries = _check_parts(made, search, tries_per_step)
        report.tries += tries
        if found is None:
            report.undecided.append(_told(made, search, "no order was found in the time given"))
            return report
        search = found
    report.violations.append(_told(made, search, "no order explains it"))
    return report


def _search(made, steps, seats, tries_per_step):
    """Search: first the narrow and quick way, then, if it found nothing, the whole, from several starts if need be."""
    seats = sorted(seats, key=str)
    tries = TRIES_MIN + tries_per_step * len(steps)
    search = Search(made, steps, seats, tries, narrow=True)
    outcome = search.run()
    for start in range(STARTS):
        if outcome == EXPLAINED or (start and outcome != GAVE_UP):
            break
        search = Search(made, steps, seats, tries, chance=Random(start) if start else None)
        outcome = search.run()
    return outcome, search


def _check_parts(made, whole, tries_per_step):
    """Look for some seats that have no order even by themselves; gives that search, or None, and the tries."""
    stuck = set(whole.stuck.seats)
    parts = [{seat} for seat in made.seats] + ([stuck] if 1 < len(stuck) < len(made.seats) else [])
    tries = 0
    made = _evicting(made)
    for seats in parts:
        steps = [part for step in made.steps if (part := _about(step, seats)) is not None]
        outcome, search = _search(made, steps, seats, tries_per_step)
        tries += search.tries
        if outcome not in (EXPLAINED, GAVE_UP):
            return search, tries
    return None, tries


def _evicting(made):
    """Let holds vanish that may have been evicted from a seat, for parts of the hall in which this is not seen."""
    made = copy(made)
    made.vanish = dict(made.vanish)
    for block in made.steps:
        if block.kind == "block" and block.detail:
            for claim in made.steps:
                if claim.kind == "claim" and not set(claim.seats).isdisjoint(block.seats):
                    made.vanish[claim.owner] = min(block.lo, made.vanish.get(claim.owner, block.lo))
    return made


def _about(step, seats):
    """Give what a step says about some of its seats; None if nothing."""
    mine = tuple(seat for seat in step.seats if seat in seats)
    if step.seats and not mine:
        return None
    part = copy(step)
    part.seats = mine
    if step.kind == "seen":
        part.detail = [entry for entry in step.detail if entry[0] in seats]
    elif step.kind == "claim":
        part.detail = tuple(seat for seat in step.detail if seat in seats)
    elif step.kind == "live" and step.detail is not None:
        part.detail = step.detail & seats
    return part


def _told(made, search, what):
    """Say what stopped a search, with the calls around it that have to do with it."""
    stuck = search.stuck
    seats = set(stuck.seats) or {entry[0] for entry in stuck.detail}
    near = [step.call for step in made.steps if step is not stuck and not seats.isdisjoint(step.seats or seats)]
    near = [call for call in near if call.start <= (stuck.call.end or call.start)]
    near.sort(key=lambda call: call.start)
    stands = {seat: search.shown.get(seat) for seat in sorted(seats, key=str)[:10]}
    told = f"{what}: {stuck.kind} of seats {stands}"
    unique = {id(call): call for call in near[-3 * NEIGHBOURS :]}
    return Violation(made.showtime, told, (*list(unique.values())[-NEIGHBOURS:], stuck.call))
