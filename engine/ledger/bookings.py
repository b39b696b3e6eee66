"""Bookings as the ledger knows them: reading, and their ends without money."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from engine.errors import Refusal
from engine.ledger.database import moment, reading, transaction
from engine.ledger.entering import enter_booking, enter_seats
from engine.ledger.part import LedgerPart
from engine.ledger.queries import query
from engine.ledger.records import Booking, Entry
from engine.ledger.requests import once, recall
from engine.ledger.rows import to_record
from engine.seats.records import Request


class Bookings(LedgerPart):
    """Reading bookings, and ending the unpaid ones."""

    async def read_booking(self, booking_id: str) -> Booking | None:
        """Read a booking with its seats, payments, captures, tickets and refunds, all of one moment.

        Returns:
            None while the ledger does not have it: an unpaid booking lives in Redis alone.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            row = await connection.fetchrow(query("read_booking"), UUID(booking_id))
        return None if row is None else to_record(row, Booking)

    async def bookings_of(self, subject: str, cursor: str | None, limit: int) -> tuple[list[Booking], str | None]:
        """List a customer's bookings, newest first.

        Args:
            subject: whose they are.
            cursor: the last id of the page before, None for the first page.
            limit: bookings on a page.

        Returns:
            The page, and the cursor of the next one or None.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        below = UUID(cursor) if cursor else None
        async with reading(self.pool) as connection:
            rows = await connection.fetch(query("bookings_of"), subject, below, limit + 1)
        page = [to_record(row, Booking) for row in rows[:limit]]
        return page, page[-1].id if len(rows) > limit else None

    async def cancel_booking(
        self,
        booking_id: str,
        subject: str | None,
        reason: str = "customer",
        *,
        comment: str = "",
        entry: Entry | None = None,
        request: Request | None = None,
        answer: Any = None,
    ) -> bool:
        """Cancel a booking before its payment. The ledger comes first; the caller then releases the hold.

        Args:
            booking_id: the booking's, and the hold's, id.
            subject: the customer who asks; None for the operator.
            reason: the booking's `status_reason`.
            comment: why, in the customer's words.
            entry: enters the booking if it lives in Redis alone: a check-out that is cancelled is durable.
            request: remembers the answer, also for a hold, which stays in Redis alone.
            answer: what is remembered, as JSON; only with a request.

        Returns:
            Whether the ledger has the booking, now CANCELLED; a repeat is harmless.

        Raises:
            Refusal: `not_found` (somebody else's), `not_cancellable` (paid, or ended another way),
                `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with once(self.pool, request) as run:
            run.answer, connection = answer, run.connection
            if entry is not None:
                await enter_booking(connection, entry)
                await enter_seats(connection, entry)
            booking = await connection.fetchrow(query("lock_booking"), UUID(booking_id))
            if booking is None:
                return False
            if subject is not None and booking["subject"] != subject:
                raise Refusal("not_found")
            if booking["status"] != "CANCELLED" and not await _end(connection, UUID(booking_id), "CANCELLED", reason):
                raise Refusal("not_cancellable", booking_status=booking["status"])
            await connection.execute(query("comment_booking"), UUID(booking_id), comment)
        return True

    async def move_bookings(self, subject: str, new_subject: str, but: Sequence[str] = ()) -> int:
        """Give a customer's bookings, with their tickets, to another customer; give how many it were.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            rows = await connection.fetch(query("move_bookings"), subject, new_subject, [UUID(one) for one in but])
            # A second statement: it sees the tickets of sales that the first one had to wait for.
            await connection.execute(query("move_tickets"), [row["id"] for row in rows], new_subject)
        return len(rows)

    async def recall_cancelled(self, request: Request | None) -> Any:
        """Give what `cancel_booking` remembered of a request; None for a new one.

        Raises:
            Refusal: `idempotency_key_reused`.
            Unavailable: `ledger_unavailable`.
        """
        return await recall(self.pool, request)

    async def expire_booking(self, booking_id: str, reason: str = "payment_timeout") -> bool:
        """End a booking whose time is over: PENDING and without money becomes EXPIRED, any other stays.

        Returns:
            Whether it is over, now or before; False while money of it is at work: then its hold must stay.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            booking = await connection.fetchrow(query("lock_booking"), UUID(booking_id))
            ended = await _end(connection, UUID(booking_id), "EXPIRED", reason)
            return ended or booking is None or booking["status"] != "PENDING"

    async def move_deadline(self, booking_id: str, expires_at_ms: int) -> None:
        """Follow the hold's deadline after a failed payment; only a PENDING booking has one to move.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            await connection.execute(query("move_booking_deadline"), UUID(booking_id), moment(expires_at_ms))

    async def overdue_bookings(self, limit: int) -> list[str]:
        """Take PENDING bookings whose deadline in the ledger passed a while ago; each is given again after 10 s.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with transaction(self.pool) as connection:
            rows = await connection.fetch(query("overdue_bookings"), limit)
        return [str(row["id"]) for row in rows]


async def _end(connection: Any, booking_id: UUID, status: Literal["CANCELLED", "EXPIRED"], reason: str) -> bool:
    """End a booking that the caller has locked, with its open payment sessions."""
    if await connection.fetchval(query("end_booking"), booking_id, status, reason) is None:
        return False
    await connection.execute(query("expire_payments"), [booking_id])
    return True
