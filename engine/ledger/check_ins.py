"""Tickets at the door: SOLD becomes USED once, and SOLD again when staff take it back.

The ticket's row is locked before it is looked at, so that of two check-ins, or of a check-in and a refund, the second
one sees what the first has done.
"""

from typing import Any
from uuid import UUID

import msgspec

from engine.errors import Refusal
from engine.ledger.database import reading, transaction
from engine.ledger.part import LedgerPart
from engine.ledger.queries import query
from engine.ledger.records import Ticket
from engine.ledger.requests import once
from engine.ledger.rows import to_record
from engine.seats.records import Request


class DoorTicket(Ticket, frozen=True, kw_only=True):
    """A ticket as the door sees it.

    Attributes:
        showtime, showtime_status, starts_at_ms: which show it is for, and what the ledger says of that.
        booking_id, locale: whose booking it belongs to, and in which language that was made.
        gate, used_at_ms: where and when it was used; None while it was not.
    """

    showtime: int
    showtime_status: str
    starts_at_ms: int
    booking_id: str
    locale: str
    gate: str | None
    used_at_ms: int | None

    @property
    def paid_back(self) -> bool:
        """Whether its money goes back. A cancelled showtime's tickets become REFUNDED one after the other."""
        return self.status == "REFUNDED" or self.showtime_status == "CANCELLED"


class CheckIn(msgspec.Struct, frozen=True, kw_only=True):
    """That a ticket was used; `replayed`: by an earlier run of the same request."""

    ticket: DoorTicket
    replayed: bool = False


class CheckIns(LedgerPart):
    """What staff at the door read and write."""

    async def read_ticket(self, ticket_id: UUID) -> DoorTicket:
        """Read a ticket as it is now.

        Raises:
            Refusal: `not_found`.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            return await _read(connection, ticket_id)

    async def check_in(
        self, ticket_id: UUID, showtime: int, gate: str, actor: str, request: Request | None = None
    ) -> CheckIn:
        """Use a ticket: SOLD becomes USED, with who did it, where and when.

        Args:
            ticket_id: out of a code that was verified.
            showtime: the one that people are let in to.
            gate: in the cinema's words.
            actor: the subject of the staff member.
            request: remembers the first answer for a day.

        Raises:
            Refusal: `not_found`, `ticket_refunded`, `wrong_showtime {showtime, starts_at_ms}`,
                `ticket_used {used_at_ms, gate}`, `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; after an unknown outcome the same request is safe.
        """
        async with once(self.pool, request) as run:
            if run.replayed:
                return CheckIn(ticket=msgspec.convert(run.answer, DoorTicket), replayed=True)
            ticket = await _lock(run.connection, ticket_id)
            if ticket.showtime != showtime:
                raise Refusal("wrong_showtime", showtime=ticket.showtime, starts_at_ms=ticket.starts_at_ms)
            if ticket.status == "USED":
                raise Refusal("ticket_used", used_at_ms=ticket.used_at_ms, gate=ticket.gate)
            await run.connection.execute(query("insert_check_in"), ticket_id, gate, actor)
            await run.connection.execute(query("mark_ticket"), ticket_id, "USED")
            ticket = await _read(run.connection, ticket_id)
            run.answer = msgspec.to_builtins(ticket)
        return CheckIn(ticket=ticket)

    async def undo_check_in(self, ticket_id: UUID, reason: str, actor: str) -> None:
        """Make a used ticket valid again, as an act of an operator; of one that was not used nothing changes.

        Raises:
            Refusal: `not_found`; `ticket_refunded`, it must not become valid.
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            ticket = await _lock(connection, ticket_id)
            if ticket.status != "USED":
                return
            await connection.execute(query("undo_check_in"), ticket_id, actor, reason)
            await connection.execute(query("mark_ticket"), ticket_id, "SOLD")
            details = {"gate": ticket.gate, "used_at_ms": ticket.used_at_ms, "showtime": ticket.showtime}
            await connection.fetchval(
                query("insert_act"), actor, "undo_check_in", f"ticket:{ticket_id}", reason, details
            )


async def _lock(connection: Any, ticket_id: UUID) -> DoorTicket:
    """Lock a ticket, then read it: the second statement sees what others did while the first one waited.

    Raises:
        Refusal: `not_found`; `ticket_refunded`.
    """
    await connection.fetchval(query("lock_ticket"), ticket_id)
    ticket = await _read(connection, ticket_id)
    if ticket.paid_back:
        raise Refusal("ticket_refunded")
    return ticket


async def _read(connection: Any, ticket_id: UUID) -> DoorTicket:
    row = await connection.fetchrow(query("read_door_ticket"), ticket_id)
    if row is None:
        raise Refusal("not_found")
    return to_record(row, DoorTicket)
