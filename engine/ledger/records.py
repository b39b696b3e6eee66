"""What the ledger takes and gives: frozen records, times as Unix ms, money as integers in minor units."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

BookingStatus = Literal["PENDING", "CONFIRMED", "CANCELLED", "EXPIRED", "REFUNDED"]
PaymentStatus = Literal["PENDING", "SUCCESS", "FAILED", "EXPIRED"]
TicketStatus = Literal["SOLD", "USED", "REFUNDED"]
RefundStatus = Literal["QUEUED", "PROCESSING", "SETTLED", "MANUAL"]
AttemptOutcome = Literal["SETTLED", "PENDING", "FAILED", "UNKNOWN"]
CaptureOutcome = Literal["TICKETS", "REFUND"]
Verdict = Literal["sell", "tickets", "refund", "payment_failed", "payment_expired", "ignored"]


class BookedSeat(msgspec.Struct, frozen=True):
    """One seat of a booking with the price that the check-out froze."""

    index: int
    seat: str
    tier: str
    price_minor: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A booking as it enters the ledger, with all that is needed to turn it into tickets."""

    booking_id: str
    showtime: int
    subject: str
    email: str | None
    phone: str | None
    locale: str
    owner_number: int
    claimed_at_ms: int
    expires_at_ms: int
    currency: str
    seats: tuple[BookedSeat, ...]

    @property
    def amount_minor(self) -> int:
        """The sum of the seats' prices."""
        return sum(seat.price_minor for seat in self.seats)


class Intent(Entry, frozen=True, kw_only=True):
    """A payment that is about to be asked of a gateway."""

    now_ms: int
    gateway: str
    session_id: str
    return_url: str | None = None
    cancel_url: str | None = None


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One payment session of ours at a gateway."""

    session_id: str
    gateway: str
    booking_id: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    payment_url: str | None
    return_url: str | None
    cancel_url: str | None
    failure_code: str | None
    expires_at_ms: int
    created_at_ms: int


class Begun(msgspec.Struct, frozen=True):
    """A payment session that somebody asked for.

    Attributes:
        payment: the session; a booking has one that can be paid.
        created: it is new.
        replayed: the answer to a request that was made before.
    """

    payment: Payment
    created: bool
    replayed: bool = False


class GatewayEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A validly signed event of a gateway; `type` is `payment.success`, `.failed`, `.expired` or unknown to us."""

    gateway: str
    event_id: str
    type: str
    session_id: str
    amount_minor: int
    currency: str
    failure_code: str | None = None
    body: Any = None


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """Money that a gateway says it has taken, with what is needed to sell the seats for it.

    `booking_id`, `showtime` and `subject` are None and `seats` empty for money of an unknown session.
    """

    gateway: str
    session_id: str
    amount_minor: int
    currency: str
    captured_at_ms: int
    outcome: CaptureOutcome | None
    booking_id: str | None = None
    showtime: int | None = None
    subject: str | None = None
    seats: tuple[int, ...] = ()


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What an event led to, computed from the ledger's present state, so a repeat gives the same.

    verdict:
        `sell`: the money is durable and has no outcome yet: sell the seats of `capture`.
        `tickets`, `refund`: the money has this outcome already; nothing is left to do.
        `payment_failed`, `payment_expired`: the payment has ended so; if `newest`, the hold is to follow. An older
            session's money at work makes it no longer the newest.
        `ignored`: written down, and nothing follows.
    repeated: this very event was seen before.
    """

    verdict: Verdict
    repeated: bool = False
    newest: bool = False
    booking_id: str | None = None
    capture: Capture | None = None


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One seat that was sold."""

    id: str
    seat_index: int
    seat: str
    tier: str
    price_minor: int
    currency: str
    status: TicketStatus
    session_id: str
    sale_number: int
    sold_at_ms: int


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money that goes back: `reason` is a word, `comment` what somebody wrote, `tickets` ids of what it pays for."""

    id: str
    session_id: str
    amount_minor: int
    currency: str
    reason: str
    status: RefundStatus
    created_at_ms: int
    updated_at_ms: int
    comment: str | None = None
    settled_at_ms: int | None = None
    tickets: tuple[str, ...] = ()


class SoldSeats(NamedTuple):
    """Seats of one sale whose tickets are REFUNDED."""

    showtime: int
    subject: str
    booking_id: UUID
    sale_number: int
    seats: Sequence[int]


class RefundCase(msgspec.Struct, frozen=True, kw_only=True):
    """All that a refund of tickets is judged on, of one moment: the database's `now`."""

    booking_status: BookingStatus
    showtime_status: str
    starts_at: datetime
    now: datetime
    currency: str
    policy: dict[str, Any]
    cinema_policy: dict[str, Any]
    tickets: tuple[Ticket, ...]


class DueRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund that the gateway is to be asked for now; `attempt` is the number of this try."""

    id: str
    session_id: str
    amount_minor: int
    currency: str
    reason: str
    attempt: int


class AttemptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How asking a gateway for a refund went; `error` is for operators."""

    outcome: AttemptOutcome
    gateway_refund: str | None = None
    failure_code: str | None = None
    error: str | None = None


class RefundAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One time that the gateway was asked; without an outcome its answer is not known yet."""

    attempt: int
    outcome: AttemptOutcome | None
    error: str | None
    begun_at_ms: int
    ended_at_ms: int | None


class RefundedTicket(msgspec.Struct, frozen=True):
    """What a refund pays for one ticket."""

    id: str
    seat: str
    amount_minor: int


class RefundDetails(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as operators read it; without booking, showtime and cinema for money of an unknown session."""

    id: str
    business_id: str
    gateway: str
    session_id: str
    booking_id: str | None
    showtime: int | None
    cinema_id: int | None
    amount_minor: int
    currency: str
    reason: str
    comment: str | None
    status: RefundStatus
    attempts: int
    gateway_refund: str | None
    failure_code: str | None
    settled_by: str | None
    note: str | None
    due_at_ms: int | None
    created_at_ms: int
    updated_at_ms: int
    settled_at_ms: int | None
    tickets: tuple[RefundedTicket, ...]


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """A booking as the ledger knows it, with all that hangs on it; lists are oldest first."""

    id: str
    showtime: int
    subject: str
    email: str | None
    phone: str | None
    locale: str
    status: BookingStatus
    status_reason: str | None
    amount_minor: int
    currency: str
    expires_at_ms: int
    created_at_ms: int
    seats: tuple[BookedSeat, ...] = ()
    payments: tuple[Payment, ...] = ()
    captures: tuple[Capture, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    refunds: tuple[Refund, ...] = ()
    comment: str | None = None
    """Why it was cancelled, in the customer's words."""

    @property
    def settling(self) -> bool:
        """Whether money has come whose outcome is still open."""
        return any(capture.outcome is None for capture in self.captures)


class BlockSeat(msgspec.Struct, frozen=True):
    """One seat of a block."""

    index: int
    seat: str


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Seats that an operator took out of sale.

    Attributes:
        applied: whether Redis has it, or, when released, has let go.
        replayed: entered by an earlier run of the request that gave it.
    """

    id: int
    showtime: int
    reason: str
    channel: str | None
    evict: bool
    created_by: str
    created_at_ms: int
    release_at_ms: int | None
    released_at_ms: int | None
    applied: bool
    seats: tuple[BlockSeat, ...]
    replayed: bool = False


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act of an operator: who, what, on what, why."""

    id: int
    actor: str
    verb: str
    subject: str
    reason: str
    details: Any
    acted_at_ms: int


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has to look at."""

    id: int
    business_id: str
    kind: str
    showtime: int | None
    booking_id: str | None
    session_id: str | None
    details: Any
    opened_at_ms: int
    closed_at_ms: int | None
