"""Facts: what the seat engine's scripts appended to the streams, decoded and checked.

| kind               | business id | what happened                                                      |
|--------------------|-------------|--------------------------------------------------------------------|
| `seats_sold`       | session id  | the seats of a paid booking were sold                              |
| `seats_restocked`  | the caller's| seats of a sale went back to stock                                 |
| `booking_expired`  | booking id  | a checked-out hold reached its deadline                            |
| `booking_cancelled`| booking id  | a checked-out hold was given up                                    |
| `facts_missing`    | none        | written by the ledger itself in place of a seq that never came     |
| `poison`           | none        | written by the ledger itself in place of a fact that cannot be read|
"""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from engine.ledger.database import moment
from engine.limits import SHOWTIME_NUMBER_MAX


class SeatsSold(msgspec.Struct, frozen=True):
    """`sale` is the owner number under which Redis has the seats; `late`: the hold was gone already."""

    booking: UUID
    gateway: str
    session: str
    sale: int
    late: bool
    seats: tuple[int, ...]


class SeatsRestocked(msgspec.Struct, frozen=True):
    """Seats of the sale `sale` are free again."""

    booking: UUID
    sale: int
    seats: tuple[int, ...]


class BookingEnded(msgspec.Struct, frozen=True):
    """A checked-out hold ended without a sale. `checkout` is the JSON text that the check-out wrote."""

    booking: UUID
    owner: int
    claimed_at_ms: int
    deadline_ms: int
    seats: tuple[int, ...]
    reason: str
    checkout: str


class Checkout(msgspec.Struct, frozen=True):
    """What a check-out froze: the buyer, and a price for each tier."""

    subject: str
    currency: str
    prices: dict[str, int]
    email: str | None = None
    phone: str | None = None
    locale: str = "id"


KINDS: dict[str, type[SeatsSold | SeatsRestocked | BookingEnded]] = {
    "seats_sold": SeatsSold,
    "seats_restocked": SeatsRestocked,
    "booking_expired": BookingEnded,
    "booking_cancelled": BookingEnded,
}


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a partition's stream.

    Attributes:
        partition, entry: where it lies; `entry` is the stream id, which names nothing outside of the stream.
        showtime, generation, seq: its place in the order of its showtime.
        data: None when `fault` says why it cannot be read.
        raw: the data's JSON text as it came.
    """

    partition: int
    entry: bytes
    kind: str
    showtime: int
    generation: int
    seq: int
    business_id: str
    at_ms: int
    data: SeatsSold | SeatsRestocked | BookingEnded | None
    raw: bytes
    checkout: Checkout | None = None
    fault: str = ""


class UnnumberedEntry(Exception):
    """An entry that does not even say which showtime it belongs to; the argument says what is wrong."""


def decode_fact(partition: int, entry: bytes, fields: Mapping[bytes, bytes]) -> Fact:
    """Decode an entry; whatever is wrong with its content becomes the fact's `fault`.

    Raises:
        UnnumberedEntry: showtime, generation or seq is missing or no number.
    """
    try:
        showtime, generation, seq = (int(fields[name]) for name in (b"showtime", b"generation", b"seq"))
    except (KeyError, ValueError) as error:
        raise UnnumberedEntry(f"{type(error).__name__}: {error}") from None
    if not (0 < showtime <= SHOWTIME_NUMBER_MAX and 0 <= generation < 2**31 and 0 < seq < 2**63):
        raise UnnumberedEntry(f"out of range: {showtime} {generation} {seq}")
    kind = readable(fields.get(b"kind", b""))
    raw = fields.get(b"data", b"")
    data: SeatsSold | SeatsRestocked | BookingEnded | None = None
    checkout, at_ms, fault = None, 0, ""
    try:
        data = msgspec.json.decode(raw, type=KINDS[kind])
        at_ms = int(fields[b"at"])
        moment(at_ms)
        if isinstance(data, BookingEnded):
            checkout = msgspec.json.decode(data.checkout, type=Checkout)
        if not data.seats or len(set(data.seats)) != len(data.seats):
            fault, data = "no seats, or one of them twice", None
    except (KeyError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        fault, data, at_ms = f"{type(error).__name__}: {error}", None, 0
    return Fact(
        partition=partition,
        entry=entry,
        kind=kind,
        showtime=showtime,
        generation=generation,
        seq=seq,
        business_id=readable(fields.get(b"id", b"")),
        at_ms=at_ms,
        data=data,
        raw=raw,
        checkout=checkout,
        fault=fault,
    )


def readable(raw: bytes) -> str:
    """Give bytes as text that PostgreSQL can store, whatever they are."""
    return raw.decode(errors="backslashreplace").replace("\x00", "\\x00")
