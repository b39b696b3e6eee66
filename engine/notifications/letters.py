"""From a queued notification to a letter: what the ledger and the catalogue say at the moment of sending.

A notification that is no longer true is not written: `None`. What is true then was announced, too, and has a
notification of its own. So it is with e-tickets of a booking that was refunded meanwhile (of the rest of its tickets
only those that are SOLD are sent), with reminders of a booking that was paid or has lapsed, and with the look-up of a
booking by an address that is not its own.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.records import Showtime
from engine.errors import Refusal
from engine.ledger.database import moment, reading
from engine.ledger.ledger import Ledger
from engine.ledger.queries import query
from engine.ledger.records import Booking
from engine.notifications.enclosures import Enclosed, Enclosures
from engine.notifications.records import Attachment, Letter, Notification
from engine.notifications.templates import render
from engine.notifications.wording import STATES, language_of, one_line, reason_text
from engine.settings import Settings
from engine.tickets.records import Locale
from engine.tickets.words import amount_text, day_text, time_text

Facts = dict[str, Any]
"""What a template may name."""


class LetterWriter:
    """Writes letters.

    Args:
        settings: where customers reach us.
        ledger: bookings and refunds.
        catalogue: showtimes.
        enclosures: makes e-tickets.
    """

    def __init__(self, settings: Settings, ledger: Ledger, catalogue: Catalogue, enclosures: Enclosures) -> None:
        self._api_url = settings.home_url + "/api/v1"
        self._ledger = ledger
        self._catalogue = catalogue
        self._enclosures = enclosures

    async def write(self, notification: Notification) -> Letter | None:
        """Write a notification as a letter; None when there is nothing to say any more.

        Raises:
            Unavailable: `ledger_unavailable`, `redis_unavailable`.
        """
        booking = await self._ledger.read_booking(notification.booking_id) if notification.booking_id else None
        # Whoever asks for a booking by mail does not say in which language.
        language = language_of(booking.locale if notification.kind == "lookup" and booking else notification.locale)
        if notification.kind == "refund_manual":
            facts: Facts | None = await self._manual_facts(notification, language)
        elif notification.kind == "lapsing":
            facts = await self._lapsing_facts(notification, booking, language)
        elif booking is None:
            facts = None
        elif notification.kind in ("refund_done", "refund_queued"):
            facts = await self._refund_facts(notification, booking, language)
        elif notification.kind == "lookup" and booking.email != notification.recipient:
            facts = None
        else:
            facts = await self._booking_facts(notification, booking, language)
        if facts is None:
            return None
        attachments: Sequence[Attachment] = facts.pop("attachments", ())
        subject, text, html = render(notification.kind, language, facts)
        return Letter(
            business_id=notification.business_id,
            kind=notification.kind,
            recipient=notification.recipient,
            locale=language,
            subject=subject,
            text=text,
            html=html,
            attachments=tuple(attachments),
        )

    async def _booking_facts(self, notification: Notification, booking: Booking, language: Locale) -> Facts | None:
        facts = await self._facts_of(booking, language)
        if notification.kind == "showtime_cancelled":
            owed = [refund for refund in booking.refunds if refund.reason == "showtime_cancelled"]
            total = sum(refund.amount_minor for refund in owed)
            return {**facts, "amount": amount_text(total, booking.currency, language) if total else None}
        if notification.kind == "lookup":
            enclosed = await self._enclose(booking, language)
            # Not what was paid twice or too late: that was never the money of these tickets.
            total = sum(refund.amount_minor for refund in booking.refunds if refund.tickets)
            refunded = amount_text(total, booking.currency, language) if total else None
            return {
                **facts,
                "state": STATES[language][booking.status],
                "refunded": refunded,
                "tickets": enclosed.tickets,
            }
        enclosed = await self._enclose(booking, language, whole=notification.channel == "mail")
        if not enclosed.tickets:
            return None
        return {**facts, "tickets": enclosed.tickets, "attachments": enclosed.attachments}

    async def _enclose(self, booking: Booking, language: Locale, *, whole: bool = False) -> Enclosed:
        return await self._enclosures.enclose(booking, language, self._api_url, whole=whole)

    async def _refund_facts(self, notification: Notification, booking: Booking, language: Locale) -> Facts | None:
        refund = next((one for one in booking.refunds if one.id == notification.refund_id), None)
        if refund is None:
            return None
        return {
            **await self._facts_of(booking, language),
            "amount": amount_text(refund.amount_minor, refund.currency, language),
            "reason": reason_text(refund.reason, language),
            "refund_id": refund.id,
        }

    async def _manual_facts(self, notification: Notification, language: Locale) -> Facts | None:
        async with reading(self._ledger.pool) as connection:
            row = await connection.fetchrow(query("read_refund_to_tell"), UUID(notification.refund_id))
        if row is None or row["status"] != "MANUAL":
            return None
        return {
            "amount": amount_text(row["amount_minor"], row["currency"], language),
            "attempts": row["attempts"],
            "refund_id": str(row["id"]),
            "booking_id": str(row["booking_id"] or "-"),
            "gateway": row["gateway"],
            "session_id": one_line(row["session_id"]),
            "failure": one_line(row["failure_code"] or "-"),
            "reason": reason_text(row["reason"], language),
            "api_url": self._api_url,
        }

    async def _lapsing_facts(
        self, notification: Notification, booking: Booking | None, language: Locale
    ) -> Facts | None:
        said: Mapping[str, Any] = notification.data
        paid = booking is not None and (booking.status != "PENDING" or booking.captures)
        if paid or said["expires_at_ms"] <= time.time_ns() // 1_000_000 or notification.showtime is None:
            return None
        showtime = await self._showtime(notification.showtime)
        if showtime is None:
            return None
        return {
            "show": _show(showtime, language),
            "seats": ", ".join(said["seats"]),
            "amount": amount_text(said["amount_minor"], said["currency"], language),
            "until": time_text(_local(moment(said["expires_at_ms"]), showtime), language),
            "booking_id": notification.booking_id,
        }

    async def _facts_of(self, booking: Booking, language: Locale) -> Facts:
        return {
            "show": _show(await self._catalogue.showtime(booking.showtime), language),
            "seats": ", ".join(seat.seat for seat in booking.seats),
            "amount": amount_text(booking.amount_minor, booking.currency, language),
            "booking_id": booking.id,
        }

    async def _showtime(self, number: int) -> Showtime | None:
        try:
            return await self._catalogue.showtime(number)
        except Refusal:
            return None


def _local(at: datetime, showtime: Showtime) -> datetime:
    return at.astimezone(ZoneInfo(showtime.timezone))


def _show(showtime: Showtime, language: Locale) -> dict[str, str]:
    """Give what mails say of a showtime, by the cinema's clock."""
    local = _local(showtime.starts_at, showtime)
    return {
        "movie": one_line(showtime.movie),
        "cinema": one_line(showtime.cinema),
        "city": one_line(showtime.city),
        "auditorium": one_line(showtime.auditorium),
        "day": day_text(local, language),
        "time": time_text(local, language),
    }
