"""Tickets that a customer gives back: ticket, seat, money and booking in one transaction under the booking's lock."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from engine.errors import Refusal
from engine.ledger.database import reading
from engine.ledger.part import LedgerPart, refund_id
from engine.ledger.queries import query
from engine.ledger.records import Booking, RefundCase, SoldSeats
from engine.ledger.requests import once
from engine.ledger.rows import to_record
from engine.seats.records import Request

Decide = Callable[[RefundCase], Mapping[str, int]]
"""Says what goes back for which ticket, or refuses; pure, for it runs under locks."""


class TicketsRefunded(NamedTuple):
    """What became of tickets that were given back; `sale` is what to restock, None of a replay."""

    refund_id: str
    booking: Booking
    sale: SoldSeats | None


class TicketRefunds(LedgerPart):
    """Quotes, and refunds that customers ask for."""

    async def read_refund_case(self, booking_id: str, subject: str) -> RefundCase | None:
        """Read what a refund would be judged on now.

        Returns:
            None while the ledger does not have the booking: it is not paid.

        Raises:
            Refusal: `not_found`, it is somebody else's.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            return await _read_case(connection, UUID(booking_id), subject)

    async def refund_tickets(
        self, booking_id: str, subject: str, decide: Decide, comment: str, request: Request | None = None
    ) -> TicketsRefunded:
        """Take tickets back and owe the money for them.

        Args:
            booking_id: the booking; it must be the subject's.
            subject: who asks.
            decide: which tickets, and how much for each; called under the locks of showtime, booking and tickets.
            comment: why, in the customer's words.
            request: remembers the success for a day.

        Raises:
            Refusal: `not_found`, what `decide` raises, `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; the same call is safe: a ticket is given back once.
        """
        number = UUID(booking_id)
        async with once(self.pool, request) as run:
            connection = run.connection
            if run.replayed:
                known = msgspec.convert(run.answer["booking"], Booking)
                return TicketsRefunded(run.answer["refund"], known, None)
            showtime = await connection.fetchval(query("find_booking_showtime"), number)
            if showtime is None:
                raise Refusal("not_found")
            # The order that everybody keeps. What is read after the locks is what holds until we commit.
            await connection.fetchval(query("find_showtime_status"), showtime)
            await connection.fetchrow(query("lock_booking"), number)
            await connection.fetch(query("lock_tickets"), number)
            case = await _read_case(connection, number, subject)
            assert case is not None, "a booking is never removed"
            refund, sale = await _refund(connection, number, decide(case), case.currency, comment)
            await connection.execute(query("end_refunded_booking"), number, "customer")
            booking = to_record(await connection.fetchrow(query("read_booking"), number), Booking)
            run.answer = {"refund": refund, "booking": msgspec.to_builtins(booking)}
        return TicketsRefunded(refund, booking, sale)


async def _read_case(connection: Any, booking_id: UUID, subject: str) -> RefundCase | None:
    row = await connection.fetchrow(query("read_refund_case"), booking_id)
    if row is None:
        return None
    fields = dict(row)
    if fields.pop("subject") != subject:
        raise Refusal("not_found")
    return to_record(fields, RefundCase)


async def _refund(
    connection: Any, booking_id: UUID, owed: Mapping[str, int], currency: str, comment: str
) -> tuple[str, SoldSeats]:
    """Write a refund of tickets that are locked and SOLD; they are of one sale, as all of a booking's that are."""
    tickets = [UUID(ticket) for ticket in owed]
    taken = await connection.fetch(query("take_back_tickets"), tickets)
    assert len(taken) == len(tickets), "they were SOLD under our lock"
    ((gateway, session_id, showtime, subject, sale_number),) = {tuple(row)[:5] for row in taken}
    business_id = f"tickets:{booking_id}:{min(tickets)}"
    number = refund_id(business_id)
    money = (gateway, session_id, booking_id, currency, comment, tickets, list(owed.values()))
    await connection.execute(query("insert_ticket_refund"), number, business_id, *money)
    seats = sorted(row["seat_index"] for row in taken)
    return str(number), SoldSeats(showtime, subject, booking_id, sale_number, seats)
