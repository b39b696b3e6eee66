"""A booking enters the ledger with its seats and prices: before it is paid, or cancelled by its customer."""

from typing import Any
from uuid import UUID

from engine.ledger.database import moment
from engine.ledger.queries import query
from engine.ledger.records import Entry


async def enter_booking(connection: Any, entry: Entry) -> None:
    """Write a booking as PENDING, without its seats; one that is there already stays as it is."""
    await connection.execute(
        query("insert_booking"),
        UUID(entry.booking_id),
        entry.showtime,
        entry.subject,
        entry.email,
        entry.phone,
        entry.locale,
        entry.owner_number,
        moment(entry.claimed_at_ms),
        entry.amount_minor,
        entry.currency,
        moment(entry.expires_at_ms),
    )


async def enter_seats(connection: Any, entry: Entry) -> None:
    """Write the seats of a booking with their prices; those that are there already stay as they are."""
    await connection.execute(
        query("insert_booking_seats"),
        [UUID(entry.booking_id)] * len(entry.seats),
        [seat.index for seat in entry.seats],
        [seat.seat for seat in entry.seats],
        [seat.tier for seat in entry.seats],
        [seat.price_minor for seat in entry.seats],
    )
