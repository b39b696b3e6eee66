"""What the ledger lets go of once its time is over. Money, tickets and bookings stay for ever."""

from datetime import timedelta

from engine.ledger.database import transaction
from engine.ledger.part import LedgerPart
from engine.ledger.queries import query
from engine.limits import ARCHIVE_AFTER_MS, DUTY_BATCH_MAX, WORDS_KEPT_MS


class Archive(LedgerPart):
    """Duties of the worker without a clock time of their own: each takes what is due, a few rows at a time."""

    async def archive_bookings(self) -> int:
        """Remove the seats of bookings that ended without tickets 30 days ago; gives how many bookings it were.

        A booking whose money still waits for its outcome is left alone: its seats are what is to be sold.

        Raises:
            Unavailable: `ledger_unavailable`; a repeat goes on where this ended.
        """
        async with transaction(self.pool) as connection:
            age = timedelta(milliseconds=ARCHIVE_AFTER_MS)
            due = await connection.fetch(query("due_archives"), age, DUTY_BATCH_MAX)
            return len(await connection.fetch(query("archive_bookings"), [row["id"] for row in due]))

    async def forget_words(self) -> int:
        """Remove what was said long ago: announcements, sent notifications, past reminders; gives how many rows.

        None of it comes again: what they tell of happens once, and each is made when it happens. Events of gateways,
        refunds and their attempts are the history of money, and stay; so do notifications that could not be sent.

        Raises:
            Unavailable: `ledger_unavailable`; a repeat goes on where this ended.
        """
        forgotten, age = 0, timedelta(milliseconds=WORDS_KEPT_MS)
        for statement in (query("forget_announcements"), query("forget_notifications"), query("forget_reminders")):
            async with transaction(self.pool) as connection:
                forgotten += len(await connection.fetch(statement, age, DUTY_BATCH_MAX))
        return forgotten
