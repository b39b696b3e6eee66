"""A booking, its payments and its tickets as clients read them."""

import msgspec

from api.seat_labels import read_hall
from api.wire import Timestamp, rfc3339, rfc3339_of
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.layouts import Layout
from engine.ledger.records import BookedSeat, Payment, PaymentStatus, Refund, RefundStatus, Ticket, TicketStatus
from engine.limits import PAYMENT_RETRIES_MAX
from engine.orders.records import Action, Booking, BookingStatus


class BookedSeatAnswer(msgspec.Struct):
    """One seat of a booking; the price is in minor units, as it was at check-out."""

    seat: str
    row: str
    number: str
    tier: str
    price: int


class Failure(msgspec.Struct, omit_defaults=True):
    """Why a payment failed, and whether another try makes sense."""

    code: str
    retryable: bool | None = None


class PaymentAnswer(msgspec.Struct):
    """One payment session; `payment_url` is where the customer pays, while that is possible."""

    session_id: str
    status: PaymentStatus
    amount: int
    currency: str
    payment_url: str | None
    expires_at: Timestamp
    created_at: Timestamp
    failure: Failure | None
    attempts_left: int | msgspec.UnsetType = msgspec.UNSET


class TicketAnswer(msgspec.Struct):
    """One ticket: its seat, what was paid, when, and in which transaction."""

    id: str
    seat: str
    row: str
    number: str
    tier: str
    price: int
    currency: str
    status: TicketStatus
    sold_at: Timestamp
    session_id: str


class RefundAnswer(msgspec.Struct):
    """Money that goes back: `reason` is a word, `comment` what somebody wrote, `tickets` ids of what it pays for."""

    id: str
    session_id: str
    status: RefundStatus
    amount: int
    currency: str
    reason: str
    comment: str | None
    tickets: tuple[str, ...]
    created_at: Timestamp
    settled_at: Timestamp | None


class RefundSum(msgspec.Struct):
    """All refunds of a booking together: done when each of them is, with the newest one's reason and comment."""

    status: RefundStatus
    amount: int
    currency: str
    reason: str
    comment: str | None


class BookingAnswer(msgspec.Struct):
    """The whole of a booking. `actions` is what its owner may do next; what expires says when and in how many ms.

    `comment` is why the customer has cancelled, in their words.
    """

    id: str
    showtime_id: int
    status: BookingStatus
    status_reason: str | None
    comment: str | None
    settling: bool
    movie: str
    cinema: str
    auditorium: str
    starts_at: Timestamp
    timezone: str
    seats: list[BookedSeatAnswer]
    amount: int
    currency: str
    email: str | None
    phone: str | None
    payment: PaymentAnswer | None
    tickets: list[TicketAnswer]
    refund: RefundSum | None
    refunds: list[RefundAnswer]
    actions: tuple[Action, ...]
    server_time: Timestamp
    expires_at: Timestamp | msgspec.UnsetType = msgspec.UNSET
    expires_in_ms: int | msgspec.UnsetType = msgspec.UNSET


async def booking_json(catalogue: Catalogue, booking: Booking) -> BookingAnswer:
    """Build the whole of a booking.

    Raises:
        Unavailable: `ledger_unavailable`, and this process has never seen the showtime.
    """
    showtime, layout, _ = await read_hall(catalogue, booking.showtime)
    body = BookingAnswer(
        id=booking.id,
        showtime_id=booking.showtime,
        status=booking.status,
        status_reason=booking.status_reason,
        comment=booking.comment,
        settling=booking.settling,
        movie=showtime.movie,
        cinema=showtime.cinema,
        auditorium=showtime.auditorium,
        starts_at=rfc3339_of(showtime.starts_at),
        timezone=showtime.timezone,
        seats=[_seat_json(layout, seat) for seat in booking.seats],
        amount=booking.amount_minor,
        currency=booking.currency,
        email=booking.email,
        phone=booking.phone,
        payment=_payment_of(booking),
        tickets=[ticket_json(layout, ticket) for ticket in booking.tickets],
        refund=_refund_of(booking.refunds),
        refunds=[refund_json(refund) for refund in booking.refunds],
        actions=booking.actions,
        server_time=rfc3339(booking.now_ms),
    )
    if _refundable(booking) and catalogue.refund_percent(showtime, booking.now_ms):
        body.actions = (*booking.actions, "refund")
    if booking.status in ("HELD", "PENDING"):
        body.expires_at = rfc3339(booking.expires_at_ms)
        body.expires_in_ms = max(0, booking.expires_at_ms - booking.now_ms)
    return body


def payment_json(payment: Payment) -> PaymentAnswer:
    """Build one payment session."""
    return PaymentAnswer(
        session_id=payment.session_id,
        status=payment.status,
        amount=payment.amount_minor,
        currency=payment.currency,
        payment_url=payment.payment_url if payment.status == "PENDING" else None,
        expires_at=rfc3339(payment.expires_at_ms),
        created_at=rfc3339(payment.created_at_ms),
        failure=Failure(payment.failure_code or "unknown") if payment.status == "FAILED" else None,
    )


def ticket_json(layout: Layout, ticket: Ticket) -> TicketAnswer:
    """Build one ticket."""
    seat = layout.seats[ticket.seat_index]
    return TicketAnswer(
        id=ticket.id,
        seat=ticket.seat,
        row=seat.row,
        number=seat.number,
        tier=ticket.tier,
        price=ticket.price_minor,
        currency=ticket.currency,
        status=ticket.status,
        sold_at=rfc3339(ticket.sold_at_ms),
        session_id=ticket.session_id,
    )


def _refundable(booking: Booking) -> bool:
    return booking.status == "CONFIRMED" and any(ticket.status == "SOLD" for ticket in booking.tickets)


def _seat_json(layout: Layout, booked: BookedSeat) -> BookedSeatAnswer:
    seat = layout.seats[booked.index]
    return BookedSeatAnswer(booked.seat, seat.row, seat.number, booked.tier, booked.price_minor)


def _payment_of(booking: Booking) -> PaymentAnswer | None:
    """Build the payment that counts: the one that was made, else the newest."""
    if not booking.payments:
        return None
    paid = [payment for payment in booking.payments if payment.status == "SUCCESS"]
    shown = payment_json((paid or booking.payments)[-1])
    failed = sum(payment.status == "FAILED" for payment in booking.payments)
    if shown.failure:
        shown.failure.retryable = "pay" in booking.actions
    # Failures that still move the deadline; after them the customer may try on, until it comes.
    shown.attempts_left = max(0, PAYMENT_RETRIES_MAX - failed)
    return shown


def _refund_of(refunds: tuple[Refund, ...]) -> RefundSum | None:
    if not refunds:
        return None
    statuses = [refund.status for refund in refunds]
    unfinished: tuple[RefundStatus, ...] = ("MANUAL", "QUEUED", "PROCESSING")
    return RefundSum(
        status=next((status for status in unfinished if status in statuses), "SETTLED"),
        amount=sum(refund.amount_minor for refund in refunds),
        currency=refunds[-1].currency,
        reason=refunds[-1].reason,
        comment=refunds[-1].comment,
    )


def refund_json(refund: Refund) -> RefundAnswer:
    """Build one refund."""
    return RefundAnswer(
        id=refund.id,
        session_id=refund.session_id,
        status=refund.status,
        amount=refund.amount_minor,
        currency=refund.currency,
        reason=refund.reason,
        comment=refund.comment,
        tickets=refund.tickets,
        created_at=rfc3339(refund.created_at_ms),
        settled_at=None if refund.settled_at_ms is None else rfc3339(refund.settled_at_ms),
    )
