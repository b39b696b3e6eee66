"""What the parts of the ledger share: the pool, and the writing of refunds and cases inside a transaction."""

from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import asyncpg

from engine.ledger.queries import query

_REFUNDS = uuid5(NAMESPACE_URL, "seatlock:refunds")


def refund_id(business_id: str) -> UUID:
    """Give the id of the refund of that business id; the same wherever and however often it is written."""
    return uuid5(_REFUNDS, business_id)


def capture_refund(gateway: str, session_id: str) -> str:
    """Give the business id of the refund of a whole capture."""
    return f"capture:{gateway}:{session_id}"


class LedgerPart:
    """One theme of the ledger, on the shared pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool


async def owe_refund(
    connection: Any,
    gateway: str,
    session_id: str,
    booking_id: UUID | None,
    amount_minor: int,
    currency: str,
    reason: str,
) -> None:
    """Write that the whole of a capture goes back; a repeat changes nothing, and so does a capture of nothing."""
    if amount_minor > 0:
        business_id = capture_refund(gateway, session_id)
        row = (refund_id(business_id), business_id, gateway, session_id, booking_id, amount_minor, currency, reason)
        await connection.execute(query("insert_refunds"), *([value] for value in row))


async def open_case(
    connection: Any,
    kind: str,
    business_id: str,
    details: dict[str, Any],
    *,
    showtime: int | None = None,
    booking_id: UUID | None = None,
    session_id: str | None = None,
) -> None:
    """Open a case for a person, once per business id."""
    row = (business_id, kind, showtime, booking_id, session_id, details)
    await connection.execute(query("insert_cases"), *([value] for value in row))


def status_reason(refused: str) -> str:
    """Give the word that a booking shows when its money goes back; the refund itself keeps the exact one."""
    return refused if refused in ("showtime_cancelled", "double_sale") else "paid_late"
