"""What operators do with notifications, and what guests ask for: the state of a booking by mail."""

import hashlib
import time
from typing import Any
from uuid import UUID

import asyncpg

from engine.errors import Refusal
from engine.ledger.database import reading
from engine.ledger.queries import query
from engine.ledger.requests import once
from engine.ledger.rows import to_record
from engine.limits import LOOKUP_EVERY_MS
from engine.notifications.records import NewNotification, NotificationState
from engine.notifications.spreading import queue_notifications
from engine.seats.records import Request


class NotificationDesk:
    """Notifications as people look at them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def list_notifications(
        self, status: str | None, kind: str | None, below: int | None, limit: int
    ) -> tuple[list[NotificationState], int | None]:
        """List notifications, newest first, and give where the next page begins, None at the end.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self._pool) as connection:
            rows = await connection.fetch(query("list_notifications"), below, status, kind, limit + 1)
        page = [to_record(row, NotificationState) for row in rows[:limit]]
        return page, page[-1].id if len(rows) > limit else None

    async def retry(self, notification_id: int, actor: str, request: Request | None = None) -> NotificationState:
        """Queue a dead notification again; one that waits is tried at once. It is written down who did.

        Raises:
            Refusal: `not_found`; `not_retryable`: it was sent, or is superseded; `idempotency_key_reused`,
                `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with once(self._pool, request) as run:
            connection = run.connection
            if not run.replayed:
                if await connection.fetchval(query("retry_notification"), notification_id) is None:
                    await self._read(connection, notification_id)
                    raise Refusal("not_retryable")
                subject = f"notification:{notification_id}"
                await connection.fetchval(query("insert_act"), actor, "retry_notification", subject, "", {})
                run.answer = True
            return await self._read(connection, notification_id, replayed=run.replayed)

    async def _read(self, connection: Any, notification_id: int, *, replayed: bool = False) -> NotificationState:
        row = await connection.fetchrow(query("read_notification"), notification_id)
        if row is None:
            raise Refusal("not_found")
        return to_record({**row, "replayed": replayed}, NotificationState)

    async def ask_for_booking(self, booking_id: UUID, email: str, request: Request | None = None) -> bool:
        """Ask for a mail about a booking to its own address; give whether the request is a repeat.

        Whether the two belong together is looked up by the worker alone, so neither the answer nor the time it takes
        tells. However often somebody asks, there is one mail in ten minutes.

        Raises:
            Refusal: `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        digest = hashlib.blake2b(email.encode(), digest_size=8).hexdigest()
        window = time.time_ns() // 1_000_000 // LOOKUP_EVERY_MS
        async with once(self._pool, request) as run:
            if not run.replayed:
                notification = NewNotification(
                    business_id=f"mail:lookup:{booking_id}:{digest}:{window}",
                    kind="lookup",
                    channel="mail",
                    recipient=email,
                    locale="",
                    booking_id=booking_id,
                )
                await queue_notifications(run.connection, [notification])
            run.answer = True
            return run.replayed
