"""Reading the rows that a batch of facts touches, under locks, and writing what became of them: few statements each."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import orjson

from engine.ledger.books import BookingRow, Books, CaptureRow, SeatRow
from engine.ledger.database import moment
from engine.ledger.facts import BookingEnded, Fact, SeatsSold
from engine.ledger.queries import query

TICKET_COLUMNS = (
    "id",
    "showtime_id",
    "seat_index",
    "seat",
    "tier",
    "booking_id",
    "gateway",
    "session_id",
    "sale_number",
    "subject",
    "price_minor",
    "currency",
    "status",
    "sold_at",
    "restock_due",
)
FACT_COLUMNS = ("showtime_id", "generation", "seq", "kind", "business_id", "happened_at", "data")

K = TypeVar("K")
V = TypeVar("V")
Place = tuple[int, int]
"""A showtime and a generation: what has one sequence of facts."""


async def lock_heads(connection: Any, places: Iterable[Place]) -> dict[Place, int]:
    """Give the last applied seq of each place; 0 for a new one."""
    heads = dict.fromkeys(places, 0)
    rows = await connection.fetch(query("lock_fact_heads"), *_columns(heads, 2))
    return heads | {(row["showtime_id"], row["generation"]): row["seq"] for row in rows}


async def read_books(connection: Any, facts: Sequence[Fact]) -> Books:
    """Read and lock what these facts are judged on, in the order that everybody keeps: showtime, booking, capture."""
    books = Books()
    for row in await connection.fetch(query("lock_showtimes"), sorted({fact.showtime for fact in facts})):
        books.statuses[row["id"]] = row["status"]
    ids = {fact.data.booking for fact in facts if isinstance(fact.data, SeatsSold | BookingEnded)}
    if ids:
        await _read_bookings(connection, books, ids)
    sales = [fact.data for fact in facts if isinstance(fact.data, SeatsSold)]
    if sales:
        await _read_money(connection, books, {(sale.gateway, sale.session) for sale in sales})
        seats = {(fact.showtime, i) for fact in facts if isinstance(fact.data, SeatsSold) for i in fact.data.seats}
        live = await connection.fetch(query("list_live_seats"), *_columns(sorted(seats), 2))
        books.live = {(row["showtime_id"], row["seat_index"]) for row in live}
    return books


async def _read_bookings(connection: Any, books: Books, ids: set[UUID]) -> None:
    for row in await connection.fetch(query("lock_bookings"), list(ids)):
        books.bookings[row["id"]] = BookingRow(*row.values())
    for row in await connection.fetch(query("list_booking_seats"), list(ids)):
        seat = SeatRow(row["seat"], row["tier"], row["price_minor"])
        books.bookings[row["booking_id"]].seats[row["seat_index"]] = seat


async def _read_money(connection: Any, books: Books, sessions: set[tuple[str, str]]) -> None:
    of_gateways = _by_first(sessions)
    for gateway in sorted(of_gateways):
        for row in await connection.fetch(query("lock_captures"), gateway, of_gateways[gateway]):
            books.captures[row["gateway"], row["session_id"]] = CaptureRow(*row.values())
    # Tickets and the outcome of their money are written together: where there is none, there are no tickets.
    decided = [key for key, capture in books.captures.items() if capture.outcome is not None]
    if decided:
        ticketed = await connection.fetch(query("list_ticketed_sessions"), *_columns(decided, 2))
        books.ticketed = {(row["gateway"], row["session_id"]) for row in ticketed}


async def write_books(connection: Any, books: Books) -> None:
    """Write what was decided; the order follows the foreign keys."""
    if books.entered:
        await _enter_bookings(connection, books)
    changed = _by_first(((row.status, row.status_reason), row.id) for row in books.changed_bookings.values())
    for status, ids in changed.items():
        await connection.execute(query("update_bookings"), ids, *status)
    if books.ended_bookings:
        await connection.execute(query("expire_payments"), list(books.ended_bookings))
    await _copy(connection, "tickets", TICKET_COLUMNS, books.tickets)
    decided = _by_first(((row.gateway, row.outcome), row.session) for row in books.decided.values())
    for (gateway, outcome), captures in decided.items():
        await connection.execute(query("update_captures"), gateway, captures, outcome)
    await _execute(connection, "insert_refunds", books.refunds, 8)
    await _execute(connection, "clear_restocks", books.restocked, 3)
    await _execute(connection, "restock_again", books.sold_again, 2)
    await _execute(connection, "insert_cases", books.cases, 6)
    await ask_rebuilds(connection, books.rebuilds, automatic=True)


async def write_facts(connection: Any, facts: Sequence[Fact]) -> None:
    """Write down applied facts and move the heads to the last of each place; `facts` are in seq order."""
    rows = [
        (
            fact.showtime,
            fact.generation,
            fact.seq,
            fact.kind,
            fact.business_id,
            moment(fact.at_ms),
            orjson.Fragment(fact.raw),
        )
        for fact in facts
    ]
    await _copy(connection, "facts", FACT_COLUMNS, rows)
    heads = {(fact.showtime, fact.generation): fact.seq for fact in facts}
    await _execute(connection, "upsert_fact_heads", sorted((*place, seq) for place, seq in heads.items()), 3)


async def ask_rebuilds(connection: Any, reasons: dict[int, str], *, automatic: bool) -> None:
    """Mark showtimes whose seats in Redis are not to be trusted; not `automatic`: an operator must look first."""
    rows = [(showtime, reason, automatic) for showtime, reason in sorted(reasons.items())]
    await _execute(connection, "ask_rebuilds", rows, 3)


async def _enter_bookings(connection: Any, books: Books) -> None:
    rows, seats = [], []
    for booking, fact in books.entered:
        end, checkout = fact.data, fact.checkout
        assert isinstance(end, BookingEnded)
        assert checkout is not None
        buyer = (booking.subject, checkout.email, checkout.phone, checkout.locale)
        price = (booking.amount_minor, booking.currency, moment(end.deadline_ms))
        status = (booking.status, booking.status_reason, end.owner, moment(end.claimed_at_ms))
        rows.append((booking.id, booking.showtime, *buyer, *status, *price))
        seats += [(booking.id, index, row.seat, row.tier, row.price_minor) for index, row in booking.seats.items()]
    await _execute(connection, "insert_ended_bookings", rows, 13)
    await _execute(connection, "insert_booking_seats", seats, 5)


async def _execute(connection: Any, name: str, rows: Sequence[tuple[Any, ...]], width: int) -> None:
    if rows:
        await connection.execute(query(name), *_columns(rows, width))


async def _copy(connection: Any, table: str, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows by COPY: half the work of INSERT on both sides. It passes over nothing: any conflict is an error."""
    if rows:
        await connection.copy_records_to_table(table, records=rows, columns=columns)


def _by_first(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Gather what pairs have behind the same first: a batch is of few gateways and has few outcomes."""
    gathered: dict[K, list[V]] = {}
    for first, second in pairs:
        gathered.setdefault(first, []).append(second)
    return gathered


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Turn rows into the columns that `unnest` takes."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
