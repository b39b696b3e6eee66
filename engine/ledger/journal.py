"""What people did and what people must look at: acts of operators, and cases."""

from typing import Any
from uuid import UUID

from engine.errors import Refusal
from engine.ledger.database import reading, transaction
from engine.ledger.part import LedgerPart, open_case
from engine.ledger.queries import query
from engine.ledger.records import Act, Case
from engine.ledger.rows import to_record


class Journal(LedgerPart):
    """Acts and cases."""

    async def record_act(
        self, actor: str, verb: str, subject: str, reason: str = "", details: dict[str, Any] | None = None
    ) -> None:
        """Write down an act of an operator.

        Args:
            actor: the operator's subject.
            verb: what was done, e.g. `block_seats`.
            subject: to what, e.g. `showtime:42`.
            reason: why, in the operator's words.
            details: what helps to understand it later; JSON-compatible.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with transaction(self.pool) as connection:
            await connection.fetchval(query("insert_act"), actor, verb, subject, reason, details or {})

    async def list_acts(self, cursor: str | None, limit: int) -> tuple[list[Act], str | None]:
        """List acts, newest first, with the cursor of the next page.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            rows = await connection.fetch(query("list_acts"), int(cursor) if cursor else None, limit + 1)
        page = [to_record(row, Act) for row in rows[:limit]]
        return page, str(page[-1].id) if len(rows) > limit else None

    async def open_case(
        self,
        kind: str,
        business_id: str,
        details: dict[str, Any],
        *,
        showtime: int | None = None,
        booking_id: str | None = None,
        session_id: str | None = None,
    ) -> None:
        """Open a case for a person; a repeat of the same business id changes nothing.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        booking = UUID(booking_id) if booking_id else None
        async with transaction(self.pool) as connection:
            await open_case(
                connection, kind, business_id, details, showtime=showtime, booking_id=booking, session_id=session_id
            )

    async def list_cases(
        self, cursor: str | None, limit: int, *, closed: bool = False
    ) -> tuple[list[Case], str | None]:
        """List cases, newest first, with the cursor of the next page; with the closed ones if asked.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        statement = query("list_cases" if closed else "list_open_cases")
        async with reading(self.pool) as connection:
            rows = await connection.fetch(statement, int(cursor) if cursor else None, limit + 1)
        page = [to_record(row, Case) for row in rows[:limit]]
        return page, str(page[-1].id) if len(rows) > limit else None

    async def close_case(self, case_id: int, actor: str, reason: str) -> None:
        """Close a case, and write down who did.

        Raises:
            Refusal: `not_found`, there is no open case of that id.
            Unavailable: `ledger_unavailable`.
        """
        async with transaction(self.pool) as connection:
            if await connection.fetchval(query("close_case"), case_id) is None:
                raise Refusal("not_found")
            await connection.fetchval(query("insert_act"), actor, "close_case", f"case:{case_id}", reason, {})
