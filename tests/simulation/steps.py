"""What the checker makes of calls: steps, each of which has happened, or may have, at one moment between two others."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

from tests.simulation.history import Call

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


def succeeded(call):
    """Say whether a call is known to have done what it was for."""
    return call.result is not None and call.result["word"] in WITH_EFFECT.get(call.op, ())
