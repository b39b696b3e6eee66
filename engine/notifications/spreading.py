"""From announcements to notifications and deliveries of webhooks: who is told, by which channel.

    announcement                                            notification (business id)
    booking.confirmed                                       mail:ticket:<booking>
    booking.cancelled, booking.refunded, refund.queued,
      because the cinema cancelled                          mail:showtime_cancelled:<booking>
    refund.queued, a whole capture that bought nothing      mail:refund_queued:<refund>
    refund.settled                                          mail:refund_done:<refund>
    refund.manual                                           mail:refund_manual:<refund>:<attempts>:<administrator>
    booking.lapsing                                         mail:lapsing:<booking>

Where there is a channel for messages, whoever gave a phone number gets `message:...` of the same besides. What has no
address (money for a session that nobody knows) is a case for a person already.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import asyncpg
import msgspec
import structlog

from engine.ledger.database import transaction
from engine.ledger.queries import query
from engine.limits import ANNOUNCEMENTS_PER_BATCH_MAX
from engine.notifications.records import Kind, NewNotification
from engine.settings import Settings
from engine.webhooks.queueing import queue_deliveries

log = structlog.get_logger()

Admin = tuple[str, str]
"""E-mail address and locale."""


class Spreading:
    """The duty that spreads announcements.

    Args:
        pool: of the ledger.
        settings: who the administrators are, and whether messages can be sent.
    """

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self._pool = pool
        self._admins = [(email, "id") for email in settings.admin_addresses]
        self._with_messages = bool(settings.message_webhook_url)

    async def spread_announcements(self) -> int:
        """Turn a batch of announcements into notifications and deliveries, all or nothing; give how many it were."""
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(query("take_announcements"), ANNOUNCEMENTS_PER_BATCH_MAX)
            if not rows:
                return 0
            admins = await self._read_admins(connection, rows)
            notifications = [one for row in rows for one in self._notifications_of(row, admins)]
            await queue_notifications(connection, notifications)
            spread = [row["id"] for row in rows]
            await queue_deliveries(connection, spread)
            await connection.execute(query("finish_announcements"), spread)
        log.info("announcements_spread", announcements=len(rows), notifications=len(notifications))
        return len(rows)

    async def _read_admins(self, connection: Any, rows: Iterable[Any]) -> list[Admin]:
        if self._admins or all(row["type"] != "refund.manual" for row in rows):
            return self._admins
        found = await connection.fetch(query("list_admins"))
        if not found:
            log.error("nobody_to_tell_of_manual_refunds")
        return [(row["email"], row["locale"]) for row in found]

    def _notifications_of(self, row: Any, admins: Sequence[Admin]) -> Iterator[NewNotification]:
        if row["type"] == "refund.manual":
            for email, locale in admins:
                name = f"mail:refund_manual:{row['business_id'].partition(':')[2]}:{email}"
                yield _notification(row, name, "refund_manual", email, locale)
            return
        found = kind_of(row)
        if found is None:
            return
        kind, subject = found
        if row["email"]:
            yield _notification(row, f"mail:{kind}:{subject}", kind, row["email"], row["locale"])
        if row["phone"] and self._with_messages:
            yield _notification(row, f"message:{kind}:{subject}", kind, row["phone"], row["locale"])


def kind_of(row: Any) -> tuple[Kind, str] | None:
    """Give what a customer is told because of an announcement, and what the word is about; None: nothing."""
    booking, refund = str(row["booking_id"]), str(row["refund_id"])
    match row["type"]:
        case "booking.confirmed":
            return "ticket", booking
        case "booking.lapsing":
            return "lapsing", booking
        case "booking.cancelled" | "booking.refunded" if row["data"].get("status_reason") == "showtime_cancelled":
            return "showtime_cancelled", booking
        case "refund.queued" if row["refund_business_id"].startswith("cancelled:"):
            return "showtime_cancelled", booking
        case "refund.queued" if row["refund_business_id"].startswith("capture:"):
            return "refund_queued", refund
        case "refund.settled":
            return "refund_done", refund
    return None


def _notification(row: Any, business_id: str, kind: Kind, recipient: str, locale: str) -> NewNotification:
    return NewNotification(
        business_id=business_id,
        kind=kind,
        channel="message" if business_id.startswith("message:") else "mail",
        recipient=recipient,
        locale=locale,
        showtime=row["showtime_id"],
        booking_id=row["booking_id"],
        refund_id=row["refund_id"],
        data=row["data"],
    )


async def queue_notifications(connection: Any, notifications: Sequence[NewNotification]) -> None:
    """Queue notifications inside a transaction; those whose business id is known stay as they are."""
    if notifications:
        # In one order everywhere, so that two workers with the same business ids never wait for each other.
        rows = [msgspec.structs.astuple(one) for one in sorted(notifications, key=lambda one: one.business_id)]
        await connection.execute(query("insert_notifications"), *(list(column) for column in zip(*rows, strict=True)))
