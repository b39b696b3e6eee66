"""What the orders room gives and takes. Times are Unix ms, money is in minor units."""

from typing import Literal

import msgspec

from engine.ledger.records import BookedSeat, Payment, Refund, Ticket
from engine.seats.cool_down import NO_RULE

BookingStatus = Literal["HELD", "PENDING", "CONFIRMED", "CANCELLED", "EXPIRED", "REFUNDED"]
Action = Literal["check_out", "pay", "cancel", "refund"]


class Buyer(msgspec.Struct, frozen=True, kw_only=True):
    """Who checks out: the token's subject, and where the tickets are to be sent."""

    subject: str
    email: str | None
    phone: str | None = None
    locale: str = "id"
    cool_down: bytes = NO_RULE
    """The rule that a claim by this buyer is under; see `cool_down_rule`."""


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """What a check-out freezes: kept with the hold in Redis as JSON, and carried by the facts that end it.

    `prices` has every tier of the showtime, so that the hold may still be changed to other seats.
    """

    subject: str
    email: str
    phone: str | None
    locale: str
    currency: str
    prices: dict[str, int]


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """A booking as its owner sees it: the live hold and the ledger, merged.

    Attributes:
        status: `HELD` before the check-out; `CONFIRMED` only ever from the ledger.
        comment: why it was cancelled, in the customer's words.
        settling: its money has come, and what becomes of it is not yet decided.
        expires_at_ms: by Redis' clock while its hold lives.
        now_ms: the clock by which the time left is computed.
        ledger_amount_minor: what the ledger keeps of its price, longer than the seats of an ended booking.
        payments, tickets, refunds: oldest first; empty while the ledger does not have the booking.
        actions: what the owner may do next.
        replayed: the answer to a request that was made before.
    """

    id: str
    showtime: int
    subject: str
    status: BookingStatus
    status_reason: str | None = None
    comment: str | None = None
    settling: bool = False
    email: str | None = None
    phone: str | None = None
    seats: tuple[BookedSeat, ...]
    currency: str
    expires_at_ms: int
    now_ms: int
    ledger_amount_minor: int = 0
    payments: tuple[Payment, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    refunds: tuple[Refund, ...] = ()
    actions: tuple[Action, ...] = ()
    replayed: bool = False

    @property
    def amount_minor(self) -> int:
        """The sum of the seats' prices, known for longer than the seats are."""
        return sum(seat.price_minor for seat in self.seats) or self.ledger_amount_minor
