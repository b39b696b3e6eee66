"""The post office of a worker: its duties, put together from the parts of a process."""

from collections.abc import Awaitable, Callable

import structlog

from engine import limits
from engine.notifications.channels import Channel
from engine.notifications.enclosures import Enclosures
from engine.notifications.letters import LetterWriter
from engine.notifications.mail import MailChannel
from engine.notifications.messages import MessageChannel
from engine.notifications.reminders import Reminders
from engine.notifications.sending import Sending
from engine.notifications.spreading import Spreading
from engine.runtime import Runtime
from engine.settings import Settings

log = structlog.get_logger()

Duty = tuple[Callable[[], Awaitable[int]], int]
"""One round of it, and how often in ms."""


def open_channels(settings: Settings) -> list[Channel]:
    """Give the ways of reaching people that are set up.

    Raises:
        CommandError: one of them is set up wrongly.
    """
    channels: list[Channel] = []
    if settings.smtp_url:
        channels.append(MailChannel(settings.smtp_url, settings.mail_from))
    else:
        log.warning("mails_wait", why="SEATLOCK_SMTP_URL is not set")
    if settings.message_webhook_url:
        channels.append(MessageChannel(settings.message_webhook_url, settings.message_webhook_secret))
    return channels


def notification_duties(runtime: Runtime) -> list[Duty]:
    """Give the duties of spreading, reminding, and sending by each channel.

    Raises:
        CommandError: as in `open_channels`.
    """
    settings, pool, catalogue = runtime.settings, runtime.pool, runtime.catalogue
    enclosures = Enclosures(runtime.ticket_keys, runtime.press, catalogue)
    writer = LetterWriter(settings, runtime.ledger, catalogue, enclosures)
    reminders = Reminders(pool, runtime.seats, catalogue)
    duties: list[Duty] = [
        (Spreading(pool, settings).spread_announcements, limits.DUTY_EVERY_MS),
        (reminders.remind_customers, limits.REMIND_EVERY_MS),
    ]
    sending = [Sending(pool, writer, channel) for channel in open_channels(settings)]
    return [*duties, *((one.send_notifications, limits.DUTY_EVERY_MS) for one in sending)]
