"""What the seat engine gives and takes. Times are ms since 1970 by Redis' clock; seats are indexes of the layout."""

from typing import Literal

import msgspec

HoldStatus = Literal["HELD", "PENDING"]
ShowtimeStatus = Literal["SCHEDULED", "ON_SALE", "FROZEN", "CANCELLED", "ENDED"]
MetaStatus = Literal["open", "frozen", "rebuilding", "cancelled"]


class Request(msgspec.Struct, frozen=True):
    """What a client may repeat: the answer of a success is kept under `id` and given again.

    Attributes:
        id: unique per client; empty when nothing is to be remembered.
        fingerprint: text without spaces that differs when the same id comes with another body; never empty with an id.
        trace: trace context that goes into the facts of this call.
    """

    id: str = ""
    fingerprint: str = ""
    trace: str = ""


class Policy(msgspec.Struct, frozen=True):
    """A showtime's rules; the fields stand in the order in which the scripts take them."""

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

    def numbers(self) -> tuple[int, ...]:
        """Give the numbers as script arguments."""
        return tuple(msgspec.structs.astuple(self))


class Hold(msgspec.Struct, frozen=True):
    """A live hold.

    Attributes:
        id: UUID text; also the id of the booking that it becomes.
        owner: the number that the owners map holds for each of its seats.
        status: PENDING once it was checked out.
        extendable_until_ms: no extension moves the deadline beyond this; the deadline itself once checked out.
        payment_open: a payment session is open, so the seats cannot be changed.
        subject_key: 16 bytes; see `ids.subject_key`.
        checkout: what `check_out` was given; None before.
        version: of the seat map, after this call.
        replayed: the answer was remembered from an earlier call with the same request id.
        showtime_cancelled: it was checked out, and is over although nobody has ended it yet.
    """

    id: str
    showtime: int
    owner: int
    status: HoldStatus
    seats: tuple[int, ...]
    claimed_at_ms: int
    deadline_ms: int
    extensions_left: int
    extendable_until_ms: int
    payment_open: bool
    subject_key: bytes
    checkout: bytes | None
    version: int
    now_ms: int
    replayed: bool = False
    showtime_cancelled: bool = False


class HoldLine(msgspec.Struct, frozen=True):
    """A live hold in an operator's list."""

    id: str
    status: HoldStatus
    claimed_at_ms: int
    deadline_ms: int
    payment_open: bool
    subject_key: bytes
    seats: tuple[int, ...]


class HoldPage(msgspec.Struct, frozen=True):
    """Some of a showtime's live holds, by deadline; `total` counts all of them."""

    total: int
    holds: tuple[HoldLine, ...]
    now_ms: int


class Sold(msgspec.Struct, frozen=True):
    """Seats that were sold.

    Attributes:
        sale_number: the owner number of the sold seats; a restock names it.
        late: the hold was gone, and the seats were all still free.
        seq: number of the fact `seats_sold`; 0 when the sale was made before (`already`).
    """

    sale_number: int
    late: bool
    seq: int
    already: bool


class SeatMap(msgspec.Struct, frozen=True):
    """Who has what, at one moment.

    Attributes:
        version: grows with every change, a lapse too.
        seats: how many there are.
        sold, locked, blocked: bitmaps, seat i is byte `i >> 3`, mask `0x80 >> (i & 7)`; lapsed holds are not locked
            any more. The bit after the last seat is set.
        mine: locked seats of the asking subject.
        unchanged: the caller knows this version already; all but showtime, version and now_ms is left empty.
    """

    showtime: int
    version: int
    status: ShowtimeStatus | None
    seats: int
    sold: bytes
    locked: bytes
    blocked: bytes
    mine: tuple[int, ...]
    now_ms: int
    unchanged: bool = False


class ShowtimeLoad(msgspec.Struct, frozen=True):
    """A showtime's seats as the ledger knows them.

    Attributes:
        seats: how many the layout has.
        seq: number of the last fact that the ledger has applied of the generation to be stamped; 0 for a new one.
        generation: to be stamped; None for that of the lane.
        loads: how often this showtime was loaded before and now; sale and owner numbers start anew from it.
        sold: seat -> number of the sale that it belongs to.
        blocked: seats out of sale.
    """

    status: MetaStatus
    seats: int
    seq: int
    loads: int
    sold: dict[int, int]
    blocked: frozenset[int]
    policy: Policy
    generation: int | None = None


class LoadBegun(msgspec.Struct, frozen=True):
    """What became of the wish to load: `wait_ms` is left to the one who loads elsewhere, else 0."""

    word: Literal["loading", "loaded", "loading_elsewhere"]
    wait_ms: int = 0
