"""What an audit finds, and what it is found from."""

from typing import Literal, NamedTuple

import msgspec

Side = Literal["redis", "ledger"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Two things that ought to agree and do not.

    Attributes:
        side: what is believed to be wrong. Redis is mended by a rebuild; the ledger is a matter for a person.
        kind: a stable word, e.g. `sold_without_ticket`; RUNBOOK.md says what each means.
        showtime: its number; None for money that belongs to none.
        place: what exactly, e.g. `seat 12` (its index in the layout) or `capture fake:sess_1`.
        expected, found: in words.
    """

    side: Side
    kind: str
    showtime: int | None
    place: str
    expected: str
    found: str

    def line(self) -> str:
        """Give it as one line for a person."""
        whose = "no showtime" if self.showtime is None else f"showtime {self.showtime}"
        return f"{self.side}: {whose}, {self.place}: {self.kind}: expected {self.expected}, found {self.found}"


class Books(msgspec.Struct, frozen=True):
    """The money of one currency, in minor units: captured = live + refunded + kept + waiting + in_cases.

    Attributes:
        captured: what gateways say that they took.
        live: what live tickets cost.
        refunded: what went back or is owed.
        kept: what the refund policy left with the cinema.
        waiting: money without an outcome yet.
        in_cases: what open cases name.
    """

    captured: int = 0
    live: int = 0
    refunded: int = 0
    kept: int = 0
    waiting: int = 0
    in_cases: int = 0

    def plus(self, other: "Books") -> "Books":
        """Give the sum of both."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Books(*(one + another for one, another in pairs))


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found.

    Attributes:
        differences: those that stayed over two looks.
        unjudged: showtimes whose facts did not reach the ledger in time, so that nobody can say.
        showtimes, loaded: looked at in the ledger, and in Redis too.
        tickets, captures: looked at.
        books: by currency.
        took_s: how long it took.
    """

    differences: tuple[Difference, ...]
    unjudged: tuple[int, ...]
    showtimes: int
    loaded: int
    tickets: int
    captures: int
    books: dict[str, Books]
    took_s: float

    def mendable(self) -> list[int]:
        """Give the showtimes that a rebuild would mend."""
        return sorted({one.showtime for one in self.differences if one.side == "redis" and one.showtime is not None})


class RedisShowtime(msgspec.Struct, frozen=True):
    """A showtime as it lies in Redis, all of one moment.

    Attributes:
        meta: what the hash `meta` says of the showtime itself.
        seats: the string, whole.
        holds: packed records by owner number, `customers` by subject: both from `meta`.
        deadlines: ms by owner number.
        checkouts: owner numbers.
        wrong: what is told of keys of another type than ours.
    """

    number: int
    meta: dict[bytes, bytes]
    seats: bytes
    holds: dict[bytes, bytes]
    deadlines: dict[bytes, float]
    customers: dict[bytes, bytes]
    checkouts: frozenset[bytes]
    wrong: dict[str, str]


class Bought(NamedTuple):
    """Tickets of one customer: live, with seats on their way back to stock, and all that ever were."""

    live: int
    leaving: int
    ever: int


class LedgerShowtime(msgspec.Struct, kw_only=True):
    """What Redis ought to have of a showtime.

    Attributes:
        status: as meta spells it.
        rebuild: `""`, or why the showtime is to be built anew; `overdue` if that was asked for long ago.
        heads: the last applied seq by generation.
        sold: sale number by seat.
        leaving: the same of seats that go back to stock now.
        blocked: seats out of sale; `moving`: those of blocks that Redis is being told of.
        bought: by the key that Redis knows the customer by.
        rules: those numbers of the policy that the ledger knows, by name.
    """

    number: int
    status: str
    seats: int
    rebuild: str = ""
    overdue: bool = False
    heads: dict[int, int] = {}
    sold: dict[int, int] = {}
    leaving: dict[int, int] = {}
    blocked: set[int] = msgspec.field(default_factory=set)
    moving: set[int] = msgspec.field(default_factory=set)
    bought: dict[bytes, Bought] = {}
    rules: dict[str, int] = {}
