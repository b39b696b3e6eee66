"""A booking, its payments and its tickets as clients read them."""

from typing import Any

from api.seat_labels import read_hall
from api.wire import expiry, rfc3339, rfc3339_of
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.layouts import Layout
from engine.ledger.records import BookedSeat, Payment, Refund, Ticket
from engine.limits import PAYMENT_RETRIES_MAX
from engine.orders.records import Booking


async def booking_json(catalogue: Catalogue, booking: Booking) -> dict[str, Any]:
    """Build the whole of a booking.

    Raises:
        Unavailable: `ledger_unavailable`, and this process has never seen the showtime.
    """
    showtime, layout = await read_hall(catalogue, booking.showtime)
    live = booking.status in ("HELD", "PENDING")
    return {
        "id": booking.id,
        "showtime_id": booking.showtime,
        "status": booking.status,
        "status_reason": booking.status_reason,
        "settling": booking.settling,
        "movie": showtime.movie,
        "cinema": showtime.cinema,
        "auditorium": showtime.auditorium,
        "starts_at": rfc3339_of(showtime.starts_at),
        "timezone": showtime.timezone,
        "seats": [_seat_json(layout, seat) for seat in booking.seats],
        "amount": booking.amount_minor,
        "currency": booking.currency,
        "email": booking.email,
        "phone": booking.phone,
        "payment": _payment_of(booking),
        "tickets": [ticket_json(layout, ticket) for ticket in booking.tickets],
        "refund": _refund_of(booking.refunds),
        "refunds": [_refund_json(refund) for refund in booking.refunds],
        "actions": booking.actions,
        **(expiry(booking.expires_at_ms, booking.now_ms) if live else {"server_time": rfc3339(booking.now_ms)}),
    }


def payment_json(payment: Payment) -> dict[str, Any]:
    """Build one payment session."""
    return {
        "session_id": payment.session_id,
        "status": payment.status,
        "amount": payment.amount_minor,
        "currency": payment.currency,
        "payment_url": payment.payment_url if payment.status == "PENDING" else None,
        "expires_at": rfc3339(payment.expires_at_ms),
        "created_at": rfc3339(payment.created_at_ms),
        "failure": {"code": payment.failure_code or "unknown"} if payment.status == "FAILED" else None,
    }


def ticket_json(layout: Layout, ticket: Ticket) -> dict[str, Any]:
    """Build one ticket: its seat, what was paid, when, and in which transaction."""
    seat = layout.seats[ticket.seat_index]
    return {
        "id": ticket.id,
        "seat": ticket.seat,
        "row": seat.row,
        "number": seat.number,
        "tier": ticket.tier,
        "price": ticket.price_minor,
        "currency": ticket.currency,
        "status": ticket.status,
        "sold_at": rfc3339(ticket.sold_at_ms),
        "session_id": ticket.session_id,
    }


def _seat_json(layout: Layout, booked: BookedSeat) -> dict[str, Any]:
    seat = layout.seats[booked.index]
    return {
        "seat": booked.seat,
        "row": seat.row,
        "number": seat.number,
        "tier": booked.tier,
        "price": booked.price_minor,
    }


def _payment_of(booking: Booking) -> dict[str, Any] | None:
    """Build the payment that counts: the one that was made, else the newest."""
    if not booking.payments:
        return None
    paid = [payment for payment in booking.payments if payment.status == "SUCCESS"]
    shown = payment_json((paid or booking.payments)[-1])
    failed = sum(payment.status == "FAILED" for payment in booking.payments)
    if shown["failure"]:
        shown["failure"]["retryable"] = "pay" in booking.actions
    # Failures that still move the deadline; after them the customer may try on, until it comes.
    shown["attempts_left"] = max(0, PAYMENT_RETRIES_MAX - failed)
    return shown


def _refund_of(refunds: tuple[Refund, ...]) -> dict[str, Any] | None:
    """Build the sum of the refunds: done when all are, with the newest one's reason."""
    if not refunds:
        return None
    statuses = [refund.status for refund in refunds]
    return {
        "status": next((status for status in ("MANUAL", "QUEUED", "PROCESSING") if status in statuses), "SETTLED"),
        "amount": sum(refund.amount_minor for refund in refunds),
        "currency": refunds[-1].currency,
        "reason": refunds[-1].reason,
    }


def _refund_json(refund: Refund) -> dict[str, Any]:
    return {
        "id": refund.id,
        "session_id": refund.session_id,
        "status": refund.status,
        "amount": refund.amount_minor,
        "currency": refund.currency,
        "reason": refund.reason,
        "created_at": rfc3339(refund.created_at_ms),
    }
