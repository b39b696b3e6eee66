"""Reminders of unpaid bookings, for those who asked for one at the check-out.

Whether a booking is still unpaid, and until when it is kept, is looked up in Redis when the reminder is due, not
before: a failed payment may have moved the deadline, and seats may have been changed.
"""

import asyncio
import time
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
import structlog

from engine.catalogue.catalogue import Catalogue
from engine.errors import Refusal, SeatlockError, Unavailable
from engine.ledger.database import moment, transaction
from engine.ledger.queries import query
from engine.limits import DUTY_BATCH_MAX, REMIND_BEFORE_MS, REMINDER_PATIENCE_MS, SECOND_MS
from engine.orders.pricing import price_seats
from engine.seats.ids import parse_hold_id
from engine.seats.redis_errors import RedisError
from engine.seats.seat_engine import SeatEngine

log = structlog.get_logger()


class Reminder(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be reminded of which booking, whose time is over then."""

    booking_id: str
    showtime: int
    email: str
    phone: str | None
    locale: str
    expires_at_ms: int
    now_ms: int


class Reminders:
    """Taking reminders down, and the duty that looks at them.

    Args:
        pool: of the ledger.
        seats: knows what is still unpaid.
        catalogue: knows seats and prices.
    """

    def __init__(self, pool: asyncpg.Pool, seats: SeatEngine, catalogue: Catalogue) -> None:
        self._pool = pool
        self._seats = seats
        self._catalogue = catalogue

    async def take_down(self, reminder: Reminder) -> bool:
        """Take a reminder down; a repeat changes nothing. False: the ledger is away, and there will be none."""
        # Of a short time, half is left when the reminder comes.
        lead_ms = min(REMIND_BEFORE_MS, (reminder.expires_at_ms - reminder.now_ms) // 2)
        try:
            async with asyncio.timeout(REMINDER_PATIENCE_MS / SECOND_MS), transaction(self._pool) as connection:
                await connection.execute(
                    query("insert_reminder"),
                    UUID(reminder.booking_id),
                    reminder.showtime,
                    reminder.email,
                    reminder.phone,
                    reminder.locale,
                    moment(reminder.expires_at_ms - lead_ms),
                )
        except (Unavailable, TimeoutError) as error:
            log.warning("reminder_not_taken", booking=reminder.booking_id, error=str(error))
            return False
        return True

    async def remind_customers(self) -> int:
        """Announce bookings that are about to lapse and still unpaid; give how many reminders were looked at."""
        async with transaction(self._pool) as connection:
            due = await connection.fetch(query("due_reminders"), DUTY_BATCH_MAX)
        for row in due:
            try:
                await self._remind(row["booking_id"])
            except (SeatlockError, RedisError) as error:
                log.warning("not_reminded", booking=str(row["booking_id"]), error=error.code)
        return len(due)

    async def _remind(self, booking_id: UUID) -> None:
        hold_id = parse_hold_id(str(booking_id))
        try:
            hold = await self._seats.read_hold(hold_id)
        except Refusal:
            hold = None
        if hold is None or hold.showtime_cancelled:
            await self._look_again(booking_id, None)  # paid, cancelled or lapsed: there is nothing to say
            return
        # A payment that failed gave it more time; the clocks may differ by a little.
        later_ms = hold.deadline_ms - REMIND_BEFORE_MS
        if later_ms > hold.now_ms + SECOND_MS:
            await self._look_again(booking_id, moment(time.time_ns() // 1_000_000 + later_ms - hold.now_ms))
            return
        seats, currency = await price_seats(self._catalogue, hold)
        said = {
            "seats": [seat.seat for seat in seats],
            "amount_minor": sum(seat.price_minor for seat in seats),
            "currency": currency,
            "expires_at_ms": hold.deadline_ms,
        }
        async with transaction(self._pool) as connection:
            await connection.execute(query("announce_lapsing"), booking_id, hold.showtime, said)
            await connection.execute(query("move_reminder"), booking_id, None)

    async def _look_again(self, booking_id: UUID, at: datetime | None) -> None:
        async with transaction(self._pool) as connection:
            await connection.execute(query("move_reminder"), booking_id, at)
