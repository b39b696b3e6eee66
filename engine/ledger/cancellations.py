"""A cinema cancels a showtime: the decision in one transaction, what follows from it in many small ones.

What is left to do is found in the ledger itself: bookings that still wait or have tickets, and money that was not paid
back whole. So nothing is to be kept in step, several workers share the work, and one that dies leaves only its last
transaction undone. Whatever comes later (money, facts of sales) is judged by the showtime's status.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.errors import Refusal
from engine.ledger.database import reading, transaction
from engine.ledger.part import LedgerPart, refund_id
from engine.ledger.queries import query
from engine.ledger.records import RefundStatus
from engine.ledger.requests import once
from engine.ledger.rows import to_record
from engine.limits import CANCELLABLE_AFTER_END_MS
from engine.seats.records import Request


class CancellationPreview(msgspec.Struct, frozen=True):
    """What a cancellation meets.

    Attributes:
        bookings: with tickets, or waiting for money.
        tickets: sold or used.
        money: what goes back, in minor units by currency.
    """

    bookings: int
    tickets: int
    money: Mapping[str, int]


class RefundSums(msgspec.Struct, frozen=True):
    """The refunds of one status and currency."""

    status: RefundStatus
    currency: str
    refunds: int
    amount_minor: int


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """A cancelled showtime, and how far what follows from it is.

    Attributes:
        bookings, tickets, money: what it met; see `CancellationPreview`.
        bookings_left, tickets_left: which are not cancelled or REFUNDED yet.
        seats_left: seats of REFUNDED tickets that are not back in stock yet.
        refunds: what is owed because of it, and how far it is.
        closed_at_ms: when Redis was told.
        done_at_ms: when nothing was left but the refunds' way to the gateway.
    """

    showtime: int
    reason: str
    cancelled_by: str
    cancelled_at_ms: int
    bookings: int
    tickets: int
    money: Mapping[str, int]
    closed_at_ms: int | None
    done_at_ms: int | None
    bookings_left: int
    tickets_left: int
    seats_left: int
    refunds: tuple[RefundSums, ...]


class Decision(msgspec.Struct, frozen=True):
    """What became of the wish to cancel: `fresh` if this call or the one that it repeats did it."""

    cancellation: Cancellation
    fresh: bool
    replayed: bool


class Cancellations(LedgerPart):
    """Cancelled showtimes."""

    async def preview_cancellation(self, showtime: int) -> CancellationPreview:
        """Say what a cancellation would meet now; nothing changes.

        Raises:
            Refusal: `not_found`; `showtime_closed {showtime_status: ENDED}`, its end is too long ago.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            await _cancellable(connection, showtime)
            return await _preview(connection, showtime)

    async def cancel_showtime(self, actor: str, showtime: int, reason: str, request: Request | None = None) -> Decision:
        """Cancel a showtime for ever, with its act. Afterwards tell Redis, then `close_cancellation`.

        No booking is confirmed and no payment begun from here on, whatever Redis still says. A showtime that is
        cancelled already stays as it was cancelled first.

        Args:
            actor: the operator's subject.
            showtime: its number.
            reason: in the operator's words.
            request: remembers the decision.

        Raises:
            Refusal: as `preview_cancellation`; `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; after an unknown outcome the same call is safe.
        """
        async with once(self.pool, request) as run:
            connection, replayed = run.connection, run.replayed
            if not replayed:
                # Sales and intents hold this row: what they have begun is committed now, or will see our decision.
                await connection.fetchrow(query("lock_showtime"), showtime)
                fresh = await _cancellable(connection, showtime)
                met = await _preview(connection, showtime)
                if fresh:
                    await connection.fetchval(query("update_showtime_status"), showtime, "CANCELLED", reason)
                    details = {"bookings": met.bookings, "tickets": met.tickets, "money": dict(met.money)}
                    act = (actor, "cancel_showtime", f"showtime:{showtime}", reason, details)
                    await connection.fetchval(query("insert_act"), *act)
                row = (showtime, reason, actor, met.bookings, met.tickets, dict(met.money))
                await connection.execute(query("insert_cancellation"), *row)
                run.answer = {"fresh": fresh}
            cancellation = await _read(connection, showtime)
        return Decision(cancellation, run.answer["fresh"], replayed)

    async def read_cancellation(self, showtime: int) -> Cancellation:
        """Read a cancellation and how far it is; costs O(bookings of the showtime).

        Raises:
            Refusal: `not_found`: the showtime is not cancelled.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            return await _read(connection, showtime)

    async def close_cancellation(self, showtime: int) -> None:
        """Note that Redis claims and sells nothing of the showtime any more.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            await connection.execute(query("close_cancellation"), showtime)

    async def due_cancellations(self, limit: int) -> dict[int, bool]:
        """Take showtimes whose cancellation is not done, with whether Redis knows; each is given again in a second.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with transaction(self.pool) as connection:
            rows = await connection.fetch(query("due_cancellations"), limit)
        return {row["showtime_id"]: row["closed"] for row in rows}

    async def cancel_unpaid(self, showtime: int, limit: int) -> int:
        """End up to `limit` bookings that wait for their money; give how many were taken.

        One whose money has come and is not judged yet is left: it is judged by the showtime's status.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            taken = [row["id"] for row in await connection.fetch(query("lock_unpaid_bookings"), showtime, limit)]
            if taken:
                ended = [row["id"] for row in await connection.fetch(query("cancel_bookings"), taken)]
                await connection.execute(query("expire_payments"), ended)
        return len(taken)

    async def refund_paid(self, showtime: int, limit: int) -> int:
        """Make the tickets of up to `limit` bookings REFUNDED, owe their money, and end them; give how many it were.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        return await self._give_back(query("lock_paid_bookings"), showtime, limit)

    async def top_up_refunds(self, showtime: int, limit: int) -> int:
        """Owe up to `limit` customers, who gave their tickets back before, what they did not get then.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        return await self._give_back(query("lock_short_bookings"), showtime, limit)

    async def _give_back(self, lock: str, showtime: int, limit: int) -> int:
        async with transaction(self.pool) as connection:
            taken = [row["id"] for row in await connection.fetch(lock, showtime, limit)]
            if not taken:
                return 0
            captures = await connection.fetch(query("lock_captures_of"), taken)
            await connection.execute(query("call_tickets_in"), taken)
            names = [f"cancelled:{row['gateway']}:{row['session_id']}" for row in captures]
            columns = ([row["gateway"] for row in captures], [row["session_id"] for row in captures])
            ids = [refund_id(name) for name in names]
            owed = await connection.fetch(query("insert_rest_refunds"), ids, names, *columns)
            await connection.execute(query("insert_rest_refund_tickets"), [row["id"] for row in owed])
            await connection.execute(query("refund_confirmed_bookings"), taken)
        return len(taken)

    async def finish_cancellation(self, showtime: int) -> bool:
        """Note that a cancellation is done, if nothing of it is left in the ledger; say whether it is.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            return await connection.fetchval(query("finish_cancellation"), showtime) is not None


async def _cancellable(connection: Any, showtime: int) -> bool:
    """Say whether a showtime is not cancelled yet; refuse one that ended too long ago."""
    row = await connection.fetchrow(query("read_showtime_end"), showtime)
    if row is None:
        raise Refusal("not_found")
    if row["cancelled"]:
        return False
    if row["now_ms"] > row["ends_at_ms"] + CANCELLABLE_AFTER_END_MS:
        raise Refusal("showtime_closed", showtime_status="ENDED")
    return True


async def _preview(connection: Any, showtime: int) -> CancellationPreview:
    row = await connection.fetchrow(query("preview_cancellation"), showtime)
    return to_record(row, CancellationPreview)


async def _read(connection: Any, showtime: int) -> Cancellation:
    row = await connection.fetchrow(query("read_cancellation"), showtime)
    if row is None:
        raise Refusal("not_found")
    return to_record(row, Cancellation)
