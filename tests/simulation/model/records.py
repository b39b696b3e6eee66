"""What a showtime is made of, in plain words. Times are ms since 1970 by Redis' clock; seats are indexes."""

from dataclasses import dataclass, field
from json import dumps

BLOCKED = 2**32 - 1
"""The owner number of a seat that nobody may have."""
PAYMENT_RETRY_TTL_MS = 300_000


class Refused(Exception):
    """A rule says no: the outcome word and what it tells besides. Nothing changed."""


class Broken(Exception):
    """The caller broke the contract, e.g. named a seat twice: Redis answers with an error, and nothing changed."""


@dataclass(frozen=True)
class Policy:
    """A showtime's rules, in the order in which scripts take them."""

    hold_ttl_ms: int
    payment_ttl_ms: int
    hold_max_ms: int
    claim_max_ms: int
    seats_per_hold_max: int
    holds_per_customer_max: int
    seats_per_customer_max: int
    sales_open_ms: int
    sales_stop_ms: int
    ends_ms: int
    keys_until_ms: int

    @property
    def ahead_max_ms(self) -> int:
        """No deadline lies further ahead of now, unless the clock was set back since."""
        return max(self.hold_ttl_ms, self.payment_ttl_ms, PAYMENT_RETRY_TTL_MS)


@dataclass
class Hold:
    """Seats that a customer has until a deadline. `status` is H (held) or P (checked out: a booking)."""

    owner: int
    subject: bytes
    claimed_at_ms: int
    deadline_ms: int
    seats: list[int]
    status: str = "H"
    extensions: int = 0
    retries: int = 0
    payment_open: bool = False
    checkout: bytes | None = None


@dataclass
class Customer:
    """Seats bought, and owner numbers of holds not yet ended, lapsed ones included, the latest change last."""

    bought: int = 0
    holds: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Lapses:
    """Holds that a customer left to lapse without trying to pay: how many lately, and when the latest did."""

    count: int
    last_ms: int


@dataclass(frozen=True)
class Fact:
    """One thing that happened. `id` is the business id, `at` when, `data` as the ledger reads it."""

    kind: str
    showtime: int
    generation: int
    seq: int
    id: str
    at: int
    data: dict
    trace: str

    def fields(self) -> dict[bytes, bytes]:
        """Give the fact as an entry of the stream."""
        texts = {**vars(self), "data": dumps(self.data, separators=(",", ":"))}
        return {name.encode(): str(value).encode() for name, value in texts.items()}


@dataclass(frozen=True)
class Remembered:
    """The success that one request had, until when it is known, and of which fingerprint it was."""

    fingerprint: str
    answer: list
    until_ms: int


@dataclass
class Load:
    """A load in progress: not seen by anybody before its last step."""

    nonce: bytes
    nonce_ttl_ms: int
    until_ms: int
    seq: int | None
    """That of the showtime when the load began; None if it was not loaded."""
    customers: dict[bytes, Customer] = field(default_factory=dict)


@dataclass
class Showtime:
    """What stands in Redis of a loaded showtime. `status` is open, frozen, rebuilding or cancelled.

    A seat is free, or in exactly one of `sold`, `blocked` and the seats of one hold.
    """

    status: str
    generation: int
    seats: int
    seq: int
    fence: int
    loaded_ms: int
    policy: Policy
    version: int
    next_lapse_ms: int = 0
    """Never later than the earliest deadline; 0 if there was none when it was last looked for."""
    sold: dict[int, int] = field(default_factory=dict)
    """Seat -> sale number, which is the owner number of the hold that was sold."""
    blocked: set[int] = field(default_factory=set)
    holds: dict[int, Hold] = field(default_factory=dict)
    customers: dict[bytes, Customer] = field(default_factory=dict)
    lapses: dict[bytes, Lapses] = field(default_factory=dict)

    def hold_of(self, seat: int) -> Hold | None:
        """Give the hold that has a seat, lapsed or not."""
        return next((hold for hold in self.holds.values() if seat in hold.seats), None)


@dataclass(frozen=True)
class Call:
    """What every call brings, and the moment at which Redis ran it."""

    now_ms: int
    generation: int
    request_id: str = ""
    fingerprint: str = ""
    """Empty: the success is not to be remembered."""
    trace: str = ""
