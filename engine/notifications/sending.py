"""Sending what is queued: at least once, until it is taken, superseded, or dead.

A worker takes a batch under a lease, and several lines share it. A notification is SENT right after the other side
has accepted it: a worker that dies between the two sends it again after the lease, under the same id.
"""

import asyncio
import random
from collections.abc import Iterator

import asyncpg
import structlog

from engine import limits
from engine.cancellation import end_if_cancelled
from engine.errors import Unavailable
from engine.ledger.database import storable, transaction
from engine.ledger.queries import query
from engine.ledger.rows import to_record
from engine.notifications.channels import Away, Channel, Declined, Failed, Line
from engine.notifications.letters import LetterWriter
from engine.notifications.records import Notification, Status

log = structlog.get_logger()


class Sending:
    """The duty that sends the notifications of one channel. Those of a channel that is not set up wait in the ledger.

    Args:
        pool: of the ledger.
        writer: makes letters of them.
        channel: takes the letters.
    """

    def __init__(self, pool: asyncpg.Pool, writer: LetterWriter, channel: Channel) -> None:
        self._pool = pool
        self._writer = writer
        self._channel = channel

    async def send_notifications(self) -> int:
        """Send a batch; give how many notifications were taken up.

        Raises:
            Away: nobody was reached; what could not be sent waits, and so should the caller, longer each time.
        """
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(
                query("due_notifications"),
                self._channel.name,
                limits.NOTIFICATIONS_PER_BATCH_MAX,
                limits.NOTIFICATION_LEASE_MS,
            )
        if rows:
            # Whoever is free takes the next one; a line that breaks costs the others nothing.
            waiting = iter([to_record(row, Notification) for row in rows])
            lines = min(limits.NOTIFICATIONS_AT_ONCE_MAX, len(rows))
            async with asyncio.timeout(limits.NOTIFICATION_BATCH_MAX_S):
                served = [self._serve(waiting) for _ in range(lines)]
                endings = await asyncio.gather(*served, return_exceptions=True)
            for ending in endings:
                if ending is not None:
                    raise ending
        return len(rows)

    async def _serve(self, waiting: Iterator[Notification]) -> None:
        """Take one after another, over one line as long as it holds; if nobody is there, put off what is left."""
        for notification in waiting:
            end_if_cancelled()
            try:
                async with self._channel.line() as line:
                    held = await self._send_one(line, notification)
                    while held and (following := next(waiting, None)) is not None:
                        notification = following
                        held = await self._send_one(line, notification)
            except Away as error:
                for left in (notification, *waiting):
                    await self._postpone(left, str(error), counts=False)
                raise

    async def _send_one(self, line: Line, notification: Notification) -> bool:
        """Write and send one; give whether the line may be used again."""
        try:
            letter = await self._writer.write(notification)
            if letter is None:
                await self._drop(notification)
                return True
            await line.send(letter)
        except Declined as error:
            await self._end(notification, "DEAD", str(error))
            return True
        except (Away, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 (a letter that cannot be written must not stop the others)
            reason = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
            if notification.attempts >= limits.NOTIFICATION_ATTEMPTS_MAX:
                await self._end(notification, "DEAD", reason)
            else:
                await self._postpone(notification, reason, counts=True)
            return False
        await self._end(notification, "SENT")
        return True

    async def _drop(self, notification: Notification) -> None:
        if notification.kind == "lookup":
            # Somebody typed an address that is not the booking's: nothing of it is kept.
            async with transaction(self._pool) as connection:
                await connection.execute(query("delete_notification"), notification.id, notification.attempts)
        else:
            await self._end(notification, "SUPERSEDED")

    async def _end(self, notification: Notification, status: Status, error: str | None = None) -> None:
        kept = error and _kept(error)
        async with transaction(self._pool) as connection:
            await connection.fetchval(query("end_notification"), notification.id, notification.attempts, status, kept)
        told = {"id": notification.id, "kind": notification.kind, "channel": notification.channel}
        if status == "DEAD":
            log.error("notification_dead", **told, attempts=notification.attempts)
        else:
            log.info("notification_ended", **told, status=status)

    async def _postpone(self, notification: Notification, error: str, *, counts: bool) -> None:
        async with transaction(self._pool) as connection:
            await connection.execute(
                query("postpone_notification"),
                notification.id,
                notification.attempts,
                pause_ms(notification.attempts),
                _kept(error),
                counts,
            )


def _kept(error: str) -> str:
    """Give as much of an error as is kept; a server's words come in any encoding."""
    return storable(error[: limits.NOTIFICATION_ERROR_LENGTH_MAX])


def pause_ms(attempts: int) -> int:
    """Give how long to wait after so many attempts: twice as long each time, somewhat scattered."""
    pause = min(limits.NOTIFICATION_RETRY_MIN_MS << min(attempts - 1, 20), limits.NOTIFICATION_RETRY_MAX_MS)
    return round(pause * random.uniform(0.75, 1.25))  # noqa: S311 (no secret hangs on it)
