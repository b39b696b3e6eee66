"""The rows that a batch of facts touches, held in memory: facts are judged on them in order, then written at once."""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha1
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from asyncpg.pgproto import pgproto

from engine.ledger.database import moment
from engine.ledger.facts import Checkout, Fact, SeatsSold
from engine.ledger.part import capture_refund, refund_id

_TICKETS = sha1(uuid5(NAMESPACE_URL, "seatlock:tickets").bytes, usedforsecurity=False)


@dataclass(slots=True)
class SeatRow:
    """A seat of a booking."""

    seat: str
    tier: str
    price_minor: int


@dataclass(slots=True)
class BookingRow:
    """A booking; `expires_at` and buyer are only known for one that enters the ledger now."""

    id: UUID
    showtime: int
    subject: str
    status: str
    status_reason: str | None
    amount_minor: int
    currency: str
    seats: dict[int, SeatRow] = field(default_factory=dict)


@dataclass(slots=True)
class CaptureRow:
    """Money of a payment session."""

    gateway: str
    session: str
    booking: UUID | None
    amount_minor: int
    currency: str
    outcome: str | None


@dataclass
class Books:
    """What was read under locks, and what is to be written.

    Attributes:
        statuses: stored status of the showtimes.
        ticketed: sessions that have tickets already.
        sold_again: sessions of those that were sold under one more seq.
        live: seats with a live ticket, (showtime, seat index).
        changed_bookings, ended_bookings, decided: what to update.
        entered: bookings that enter the ledger by their end, with the fact that ended them.
        tickets, refunds, cases, restocked: rows in the order of the columns of their statement.
        rebuilds: showtimes to build again.
        sessions: whose waiters are to be woken.
    """

    statuses: dict[int, str] = field(default_factory=dict)
    bookings: dict[UUID, BookingRow] = field(default_factory=dict)
    captures: dict[tuple[str, str], CaptureRow] = field(default_factory=dict)
    ticketed: set[tuple[str, str]] = field(default_factory=set)
    sold_again: list[tuple[str, str]] = field(default_factory=list)
    live: set[tuple[int, int]] = field(default_factory=set)
    changed_bookings: dict[UUID, BookingRow] = field(default_factory=dict)
    ended_bookings: set[UUID] = field(default_factory=set)
    decided: dict[tuple[str, str], CaptureRow] = field(default_factory=dict)
    entered: list[tuple[BookingRow, Fact]] = field(default_factory=list)
    tickets: list[tuple[Any, ...]] = field(default_factory=list)
    refunds: list[tuple[Any, ...]] = field(default_factory=list)
    cases: list[tuple[Any, ...]] = field(default_factory=list)
    restocked: list[tuple[UUID, int, int]] = field(default_factory=list)
    rebuilds: dict[int, str] = field(default_factory=dict)
    sessions: list[str] = field(default_factory=list)

    def enter_booking(self, fact: Fact, booking: BookingRow) -> None:
        """Take in a booking that the ledger did not have."""
        self.bookings[booking.id] = booking
        self.entered.append((booking, fact))

    def move_booking(self, booking: BookingRow, status: str, reason: str | None) -> None:
        """Give a booking another status."""
        booking.status, booking.status_reason = status, reason
        self.changed_bookings[booking.id] = booking

    def decide(self, capture: CaptureRow, outcome: str) -> None:
        """Give money its outcome."""
        capture.outcome = outcome
        self.decided[capture.gateway, capture.session] = capture

    def write_tickets(self, sale: SeatsSold, fact: Fact, status: str, restock_due: datetime | None) -> None:
        """Write a ticket for each seat of a sale. Their ids follow from the sale, so a repeat makes the same."""
        booking, sold_at = self.bookings[sale.booking], moment(fact.at_ms)
        for index in sorted(sale.seats):
            seat = booking.seats[index]
            self.tickets.append(
                (
                    ticket_id(sale.gateway, sale.session, index),
                    booking.showtime,
                    index,
                    seat.seat,
                    seat.tier,
                    booking.id,
                    sale.gateway,
                    sale.session,
                    sale.sale,
                    booking.subject,
                    seat.price_minor,
                    booking.currency,
                    status,
                    sold_at,
                    restock_due,
                )
            )
            if status == "SOLD":
                self.live.add((booking.showtime, index))
        self.ticketed.add((sale.gateway, sale.session))

    def owe_refund(self, capture: CaptureRow, reason: str) -> None:
        """Owe the whole of a capture; what is owed already under the same business id stays."""
        business_id = capture_refund(capture.gateway, capture.session)
        if capture.amount_minor > 0:
            self.refunds.append(
                (
                    refund_id(business_id),
                    business_id,
                    capture.gateway,
                    capture.session,
                    capture.booking,
                    capture.amount_minor,
                    capture.currency,
                    reason,
                )
            )


def ticket_id(gateway: str, session: str, index: int) -> UUID:
    """Give the name-based UUID (version 5) of a ticket: what `uuid5` gives, in a third of its time."""
    named = _TICKETS.copy()
    named.update(f"{gateway}:{session}:{index}".encode())
    raw = bytearray(named.digest()[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x50, raw[8] & 0x3F | 0x80
    made: UUID = pgproto.UUID(bytes(raw))
    return made


def priced(checkout: Checkout, described: list[tuple[str, str]], indexes: tuple[int, ...]) -> dict[int, SeatRow]:
    """Give the seats of a booking with the prices that its check-out froze.

    Args:
        checkout: has a price per tier.
        described: (label, tier) of each index.
        indexes: seats.

    Raises:
        KeyError: the check-out has no price for a tier.
    """
    return {
        index: SeatRow(seat, tier, checkout.prices[tier])
        for index, (seat, tier) in zip(indexes, described, strict=True)
    }
