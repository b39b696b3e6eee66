"""Whether the ledger agrees with itself: tickets, bookings, money, facts, and what should have been done long ago."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from engine.audit.ledger_state import OVERDUE, fetch
from engine.audit.records import Books, Difference
from engine.limits import AUDIT_OPEN_CAPTURE_MS, REFUND_PENDING_MAX_MS

OPEN_CAPTURE = timedelta(milliseconds=AUDIT_OPEN_CAPTURE_MS)
REFUND_LIFE = timedelta(milliseconds=REFUND_PENDING_MAX_MS) + OVERDUE


class BooksFound(msgspec.Struct):
    """What was looked at, and what is wrong with it."""

    differences: list[Difference] = []
    books: dict[str, Books] = {}
    tickets: int = 0
    captures: int = 0

    def add(self, other: "BooksFound") -> None:
        """Take in what was found elsewhere."""
        self.differences += other.differences
        for currency, books in other.books.items():
            self.books[currency] = self.books.get(currency, Books()).plus(books)
        self.tickets += other.tickets
        self.captures += other.captures


async def check_books(connection: Any, showtimes: Sequence[int]) -> BooksFound:
    """Check all that belongs to some showtimes; call it inside one repeatable read."""
    found = await _check_money(connection, showtimes, strays=False)
    found.differences += await _rows(connection, "audit_double_tickets", showtimes)
    found.differences += await _rows(connection, "audit_tickets", showtimes)
    found.differences += await _rows(connection, "audit_bookings", showtimes)
    found.differences += await _rows(connection, "audit_facts", showtimes)
    return found


async def check_rest(connection: Any, showtimes: Sequence[int] | None) -> BooksFound:
    """Check what is found by its time, of some showtimes or of all; then also money that belongs to no booking."""
    found = await _check_money(connection, [], strays=True) if showtimes is None else BooksFound()
    found.differences += await _rows(connection, "audit_open_captures", showtimes, OPEN_CAPTURE)
    found.differences += await _rows(connection, "audit_refunds", showtimes, OVERDUE, REFUND_LIFE)
    found.differences += await _rows(connection, "audit_leftovers", showtimes, OVERDUE)
    return found


async def _check_money(connection: Any, showtimes: Sequence[int], *, strays: bool) -> BooksFound:
    found = BooksFound()
    for row in await fetch(connection, "audit_money", showtimes, strays):
        fields = dict(row)
        found.captures += fields.pop("captures")
        found.tickets += fields.pop("tickets")
        found.differences += [Difference(side="ledger", **wrong) for wrong in fields.pop("wrong")]
        currency = fields.pop("currency")
        found.books[currency] = Books(**fields)
    return found


async def _rows(connection: Any, name: str, *args: Any) -> list[Difference]:
    return [Difference(side="ledger", **row) for row in await fetch(connection, name, *args)]
