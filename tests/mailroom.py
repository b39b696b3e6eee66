"""A ledger with bookings that people are told of, and a real mail server that takes, refuses or drops what comes."""

import asyncio
import email
import email.policy
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from aiosmtpd.smtp import SMTP

from engine.ledger.ledger import Ledger
from engine.ledger.records import BookedSeat, Intent
from engine.notifications.enclosures import Enclosures
from engine.notifications.letters import LetterWriter
from engine.notifications.sending import Sending
from engine.notifications.spreading import Spreading
from engine.seats.ids import HoldId
from engine.settings import Settings
from engine.tickets.keys import load_ticket_keys, make_ticket_key
from engine.tickets.press import TicketPress

NOW_MS = 1_800_000_000_000
PRICE_MINOR = 5_000_000
SETTINGS = Settings(public_url="https://tickets.example", mail_from="Seatlock <tickets@seatlock.example>")


class MailServer:
    """Takes mails; `replies` are given first, one per mail, instead of 250. Reply "drop" ends the connection.

    `refused_senders` are answers to MAIL FROM, before any mail is looked at.
    """

    def __init__(self):
        self.mails = []
        self.replies = []
        self.refused_senders = []
        self.connections = 0
        self.url = ""

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802 (aiosmtpd calls it so)
        """Hear who sends, or do not."""
        if self.refused_senders:
            return self.refused_senders.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 go on"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 (aiosmtpd calls it so)
        """Take a mail, or do not."""
        reply = self.replies.pop(0) if self.replies else "250 taken"
        if reply == "drop":
            server.transport.abort()
        if reply[:3] in ("250", b"250"):
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            self.mails.append((envelope.rcpt_tos, message))
        return reply

    def subjects(self):
        """Give the subjects of all mails."""
        return [message["Subject"] for _, message in self.mails]


@asynccontextmanager
async def mail_server():
    """Run a mail server on a free port of this machine."""
    handler = MailServer()

    def connect():
        handler.connections += 1
        return SMTP(handler, hostname="localhost", enable_SMTPUTF8=True)

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    handler.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield handler
    finally:
        server.close()


class Mailroom:
    """A ledger on a small catalogue, and the duties of notifications."""

    def __init__(self, pool, small, settings=SETTINGS):
        self.pool = pool
        self.small = small
        self.ledger = Ledger(pool)
        self.press = TicketPress()
        enclosures = Enclosures(load_ticket_keys(make_ticket_key()), self.press, small.catalogue)
        self.writer = LetterWriter(settings, self.ledger, small.catalogue, enclosures)
        self.spreading = Spreading(pool, settings)
        self._owners = 0

    async def book(self, *seats, email="ayu@example.com", phone=None, locale="id"):
        """Bring a booking of seats into the ledger as begun to be paid; give its id."""
        self._owners += 1
        found = [self.small.layout.seats[self.small.layout.index_of[seat]] for seat in seats]
        booking = str(HoldId(claimed_at_ms=NOW_MS, owner=self._owners, showtime=self.small.showtime))
        await self.ledger.record_intent(
            Intent(
                booking_id=booking,
                showtime=self.small.showtime,
                subject="ayu",
                email=email,
                phone=phone,
                locale=locale,
                owner_number=self._owners,
                claimed_at_ms=NOW_MS,
                expires_at_ms=NOW_MS + 900_000,
                now_ms=NOW_MS,
                currency="IDR",
                seats=tuple(BookedSeat(seat.index, seat.seat, seat.tier, PRICE_MINOR) for seat in found),
                gateway="fake",
                session_id=f"s-{booking}",
            )
        )
        return booking

    async def capture(self, booking, outcome="TICKETS"):
        """Let the money of a booking have come."""
        await self.execute(
            "INSERT INTO captures (gateway, session_id, booking_id, amount_minor, currency, outcome, outcome_at)"
            " SELECT 'fake', 's-' || id, id, amount_minor, currency, $2, now() FROM bookings WHERE id = $1",
            UUID(booking),
            outcome,
        )

    async def sell(self, *seats, **fields):
        """Book and pay seats; give the booking."""
        booking = await self.book(*seats, **fields)
        await self.capture(booking)
        await self.execute(
            "INSERT INTO tickets (id, showtime_id, seat_index, seat, tier, booking_id, gateway, session_id,"
            " sale_number, subject, price_minor, currency, status, sold_at)"
            " SELECT gen_random_uuid(), showtime_id, seat_index, seat, tier, booking_id, 'fake', 's-' || booking_id,"
            " owner_number, subject, price_minor, currency, 'SOLD', now()"
            " FROM booking_seats JOIN bookings ON bookings.id = booking_id WHERE booking_id = $1",
            UUID(booking),
        )
        await self.end(booking, "CONFIRMED")
        return booking

    async def end(self, booking, status, reason=None):
        """Give a booking a status."""
        sql = "UPDATE bookings SET status = $2, status_reason = $3 WHERE id = $1"
        await self.execute(sql, UUID(booking), status, reason)

    async def owe(self, booking, reason, name="capture"):
        """Owe all of a booking's money; give the refund's id."""
        refund = uuid4()
        await self.execute(
            "INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, reason)"
            " SELECT $2, $4 || ':fake:s-' || id, 'fake', 's-' || id, id, amount_minor, currency, $3"
            " FROM bookings WHERE id = $1",
            UUID(booking),
            refund,
            reason,
            name,
        )
        return str(refund)

    async def move_refund(self, refund, status, attempts=0):
        """Give a refund another status."""
        await self.execute(
            "UPDATE refunds SET status = $2, attempts = $3, failure_code = 'card_closed', due_at = NULL,"
            " settled_at = CASE $2 WHEN 'SETTLED' THEN now() END WHERE id = $1",
            UUID(refund),
            status,
            attempts,
        )

    async def spread(self):
        """Spread all that was announced."""
        while await self.spreading.spread_announcements():
            pass

    def sending(self, channel):
        """Give the duty that sends by a channel."""
        return Sending(self.pool, self.writer, channel)

    async def execute(self, sql, *values):
        """Change the ledger past our own code."""
        await self.pool.execute(sql, *values)

    async def fetch(self, sql, *values):
        """Look into the ledger."""
        return [tuple(row) for row in await self.pool.fetch(sql, *values)]

    async def rows(self):
        """Give business id, status and attempts of all notifications by business id."""
        return await self.fetch("SELECT business_id, status, attempts FROM notifications ORDER BY business_id")

    async def make_due(self):
        """Let the time pass until everything that waits is due."""
        await self.execute("UPDATE notifications SET due_at = now() WHERE due_at IS NOT NULL")
