"""What a customer does with tickets that are paid: asks what giving them back would pay, and gives them back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from engine.catalogue.policies import merge_refund_tiers
from engine.errors import InvalidInput, Refusal, SeatlockError
from engine.ledger.ledger import Ledger
from engine.ledger.records import RefundCase, Ticket
from engine.orders.bookings import Bookings, from_ledger
from engine.orders.records import Booking
from engine.refund_policy import parse_tiers, refund_of, terms_at
from engine.restocking import restock_sale
from engine.seats.ids import parse_hold_id
from engine.seats.records import Request
from engine.seats.redis_errors import RedisError
from engine.seats.seat_engine import SeatEngine

log = structlog.get_logger()


class QuotedTicket(NamedTuple):
    """A ticket, and what giving it back pays."""

    ticket: Ticket
    amount_minor: int


class Quote(NamedTuple):
    """What giving tickets back pays.

    Attributes:
        percent: of their prices.
        rule: the tier that says so, as it is written.
        valid_until: when less is paid.
        now: the database's clock.
    """

    tickets: tuple[QuotedTicket, ...]
    currency: str
    percent: int
    rule: str
    valid_until: datetime
    now: datetime

    @property
    def amount_minor(self) -> int:
        """The sum of all tickets."""
        return sum(ticket.amount_minor for ticket in self.tickets)


class Refunded(NamedTuple):
    """Tickets that were given back."""

    refund_id: str
    booking: Booking
    replayed: bool


class TicketRefunds:
    """Quotes and refunds of paid bookings.

    Args:
        ledger: judges and writes them.
        seats: where the seats go back to stock at once, if it answers; else the worker does it.
        bookings: says what a booking is that the ledger does not have.
        refund_tiers: the policy where cinema and showtime have none of their own.
    """

    def __init__(self, ledger: Ledger, seats: SeatEngine, bookings: Bookings, refund_tiers: str) -> None:
        self._ledger = ledger
        self._seats = seats
        self._bookings = bookings
        self._refund_tiers = refund_tiers

    async def quote(self, booking_id: str, subject: str, tickets: Sequence[str] | None = None) -> Quote:
        """Say what giving tickets back would pay now.

        Args:
            booking_id: the booking; it must be the subject's.
            subject: who asks.
            tickets: ids; None: all that are SOLD.

        Raises:
            Refusal: `not_found`, `not_refundable`.
            InvalidInput: a ticket that the booking does not have.
            Unavailable: `ledger_unavailable`; `redis_unavailable` for a booking that is not paid.
        """
        return judge(await self._case(booking_id, subject), tickets, self._refund_tiers)

    async def refund(
        self,
        booking_id: str,
        subject: str,
        tickets: Sequence[str] | None,
        comment: str,
        expected_minor: int | None = None,
        request: Request | None = None,
    ) -> Refunded:
        """Give tickets back: they are REFUNDED, the money is owed, the seats are free, or will be in a moment.

        Args:
            booking_id, subject, tickets: as in `quote`.
            comment: why, in the customer's words.
            expected_minor: the amount of the quote that the customer has agreed to.
            request: remembers the success for a day.

        Raises:
            Refusal: as `quote`, and `quote_changed`, `idempotency_key_reused`, `idempotency_key_in_flight`.
            InvalidInput: a ticket that the booking does not have.
            Unavailable: as `quote`; the same call is safe.
        """

        def decide(case: RefundCase) -> dict[str, int]:
            quote = judge(case, tickets, self._refund_tiers)
            if expected_minor is not None and expected_minor != quote.amount_minor:
                raise Refusal(
                    "quote_changed", amount=quote.amount_minor, currency=quote.currency, percent=quote.percent
                )
            return {quoted.ticket.id: quoted.amount_minor for quoted in quote.tickets}

        await self._case(booking_id, subject)
        done = await self._ledger.refund_tickets(booking_id, subject, decide, comment, request)
        if done.sale is not None:
            try:
                await restock_sale(self._seats, self._ledger.pool, done.sale)
            except (SeatlockError, RedisError) as error:
                log.warning("seats_not_restocked", booking=booking_id, error=error.code)  # the worker's next round
        return Refunded(done.refund_id, from_ledger(done.booking), replayed=done.sale is None)

    async def _case(self, booking_id: str, subject: str) -> RefundCase:
        parse_hold_id(booking_id)
        case = await self._ledger.read_refund_case(booking_id, subject)
        if case is None:
            booking = await self._bookings.read_booking(booking_id, subject)
            raise _not_refundable("not_paid", booking_status=booking.status)
        return case


def judge(case: RefundCase, tickets: Sequence[str] | None, refund_tiers: str) -> Quote:
    """Say what giving tickets back pays, by the database's clock.

    Args:
        case: what it is judged on.
        tickets: ids; None: all that are SOLD.
        refund_tiers: the policy where cinema and showtime have none of their own.

    Raises:
        Refusal: `not_refundable`; `why` is `not_paid`, `ended`, `showtime_cancelled`, `no_ticket`, `too_late`,
            `nothing_paid`.
        InvalidInput: a ticket that the booking does not have.
    """
    if case.booking_status != "CONFIRMED":
        why = "ended" if case.booking_status in ("REFUNDED", "CANCELLED") else "not_paid"
        raise _not_refundable(why, booking_status=case.booking_status)
    if case.showtime_status == "CANCELLED":
        raise _not_refundable("showtime_cancelled", booking_status=case.booking_status)
    chosen = _choose(case.tickets, tickets)
    unsold = {ticket.id: ticket.status for ticket in chosen if ticket.status != "SOLD"}
    if unsold or not chosen:
        raise _not_refundable("no_ticket", booking_status=case.booking_status, tickets=unsold)
    tiers = parse_tiers(merge_refund_tiers(refund_tiers, case.cinema_policy, case.policy))
    terms = terms_at(tiers, case.starts_at, case.now)
    if terms.rule is None or terms.valid_until is None:
        raise _not_refundable("too_late", booking_status=case.booking_status)
    quoted = tuple(QuotedTicket(ticket, refund_of(ticket.price_minor, terms.percent)) for ticket in chosen)
    quote = Quote(quoted, case.currency, terms.percent, terms.rule, terms.valid_until, case.now)
    if quote.amount_minor == 0:
        raise _not_refundable("nothing_paid", booking_status=case.booking_status)
    return quote


def _choose(tickets: Sequence[Ticket], asked: Sequence[str] | None) -> list[Ticket]:
    """Give the tickets that are meant: those asked for, or all that are SOLD."""
    if asked is None:
        return [ticket for ticket in tickets if ticket.status == "SOLD"]
    by_id = {ticket.id: ticket for ticket in tickets}
    for index, ticket in enumerate(asked):
        if ticket not in by_id:
            raise InvalidInput(f"/tickets/{index}", "The booking has no such ticket.")
    return [by_id[ticket] for ticket in dict.fromkeys(asked)]


def _not_refundable(why: str, **details: Any) -> Refusal:
    return Refusal("not_refundable", why=why, **details)
