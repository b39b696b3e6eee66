"""Sending to a real mail server: taken once, tried again, given up, and what was no longer true."""

import asyncio
import email.utils

import pytest

from engine import limits
from engine.notifications.channels import Away
from engine.notifications.mail import MailChannel
from engine.notifications.sending import Sending, pause_ms
from tests.mailroom import SETTINGS, Mailroom, mail_server
from tests.small_catalogue import small_catalogue


@pytest.fixture
async def room(ledger_pool):
    """A mailroom."""
    room = Mailroom(ledger_pool, await small_catalogue(ledger_pool, SETTINGS))
    yield room
    room.press.close()


@pytest.fixture
async def server():
    """A mail server."""
    async with mail_server() as server:
        yield server


@pytest.fixture
def sending(room, server):
    """The duty that sends to that server."""
    return room.sending(MailChannel(server.url, SETTINGS.mail_from))


async def queue(room, *recipients):
    """Queue a mail about a booking to each recipient; they need no ticket."""
    booking = await room.book("A1")
    await room.end(booking, "CANCELLED", "showtime_cancelled")
    await room.execute("UPDATE announcements SET spread_at = now()")
    for recipient in recipients:
        await room.execute(
            "INSERT INTO notifications (business_id, kind, channel, recipient, locale, showtime_id, booking_id)"
            " VALUES ($1, 'showtime_cancelled', 'mail', $2, 'en', $3, $4)",
            f"mail:showtime_cancelled:{recipient}",
            recipient,
            room.small.showtime,
            booking,
        )


@pytest.mark.covers("001.14")
async def test_an_e_ticket_arrives_with_its_documents(room, server, sending):
    """Text and HTML, the QR inside it, PDF and calendar entry; no robot is to answer it."""
    await room.sell("C1", "C2")
    await room.spread()
    assert await sending.send_notifications() == 1
    ((recipients, mail),) = server.mails
    assert recipients == ["ayu@example.com"]
    assert mail["Subject"].startswith("E-tiket Anda:")
    assert mail["From"] == "Seatlock <tickets@seatlock.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_body(("plain",)).get_content()
    assert "Kursi C1: https://tickets.example/api/v1/tickets/" in text
    assert "Rp 100.000" in text
    files = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert sorted(files) == ["showtime.ics", "tickets.pdf"]
    assert files["tickets.pdf"].startswith(b"%PDF")
    pictures = {part["Content-ID"]: part for part in mail.walk() if part.get_content_type() == "image/png"}
    assert len(pictures) == 2
    html = mail.get_body(("html",)).get_content()
    assert all(f"cid:{name.strip('<>')}" in html for name in pictures)
    assert [(status, tries) for _, status, tries in await room.rows()] == [("SENT", 1)]
    assert await sending.send_notifications() == 0


async def test_a_ticket_that_is_no_longer_sold_is_not_sent(room, server, sending):
    """Of a booking that was refunded in part the rest is sent; of one that was refunded whole nothing is."""
    await room.sell("A1", "A2")
    gone = await room.sell("A3")
    await room.spread()
    await room.execute("UPDATE tickets SET status = 'REFUNDED' WHERE seat IN ('A2', 'A3')")
    await sending.send_notifications()
    ((_, mail),) = server.mails
    text = mail.get_body(("plain",)).get_content()
    assert ("Kursi A1" in text, "Kursi A2" in text) == (True, False)
    assert (f"mail:ticket:{gone}", "SUPERSEDED", 1) in await room.rows()


async def test_a_repeat_is_known_by_its_message_id(room, server, sending):
    """A worker that died after the server's yes sends again: the same Message-ID, which a mailbox shows once."""
    await queue(room, "ayu@example.com")
    await sending.send_notifications()
    await room.execute("UPDATE notifications SET status = 'QUEUED', ended_at = NULL, due_at = now()")
    await sending.send_notifications()
    first, second = [mail["Message-ID"] for _, mail in server.mails]
    assert first == second
    assert first.endswith("@seatlock.example>")


async def test_a_refusal_for_now_is_tried_again_later_and_later(room, server, sending):
    """Greylisting, a broken connection: the next attempt comes after a pause that grows."""
    await queue(room, "ayu@example.com")
    server.replies = ["451 later", "drop"]
    for attempt in (1, 2):
        await sending.send_notifications()
        ((_, status, tries),) = await room.rows()
        assert (status, tries) == ("QUEUED", attempt)
        assert await sending.send_notifications() == 0, "it waits"
        await room.make_due()
    await sending.send_notifications()
    assert [(status, tries) for _, status, tries in await room.rows()] == [("SENT", 3)]
    pauses = [pause_ms(attempt) for attempt in (1, 5, 60)]
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 1.25 * limits.NOTIFICATION_RETRY_MAX_MS


async def test_what_a_server_refuses_too_often_is_dead(room, server, sending):
    """The last attempt is the last; a person must look."""
    await queue(room, "ayu@example.com")
    await room.execute("UPDATE notifications SET attempts = $1", limits.NOTIFICATION_ATTEMPTS_MAX - 1)
    server.replies = ["451 later"]
    await sending.send_notifications()
    assert await room.fetch("SELECT status, error FROM notifications") == [("DEAD", "451 later")]


@pytest.mark.parametrize("reply", ["550 Empf\xe4nger unbekannt".encode("latin-1"), b"550 no \0 such user"])
async def test_whatever_a_server_says_is_written_down(room, server, sending, reply):
    """Servers answer in any encoding; what PostgreSQL has no text for must not keep a mail from its end."""
    await queue(room, "a@x.org", "b@x.org")
    server.replies = [reply]
    await sending.send_notifications()
    ((dead, error), (sent, _)) = await room.fetch("SELECT status, error FROM notifications ORDER BY status")
    assert (dead, sent) == ("DEAD", "SENT")
    assert "\ufffd" in error


async def test_a_server_that_refuses_the_sender_says_nothing_of_the_mails(room, server, sending):
    """A quota, an account that is not paid: each mail is tried again, none is dead at once."""
    await queue(room, "a@x.org")
    server.refused_senders = ["550 5.4.5 daily quota exceeded"]
    await sending.send_notifications()
    assert [(status, tries) for _, status, tries in await room.rows()] == [("QUEUED", 1)]
    await room.make_due()
    await sending.send_notifications()
    assert [(status, tries) for _, status, tries in await room.rows()] == [("SENT", 2)]


@pytest.mark.parametrize("lines", [1, 3])
async def test_a_refusal_for_good_is_dead_at_once_and_costs_the_others_nothing(
    room, server, sending, monkeypatch, lines
):
    """One bad address among good ones, over the same line too; one that cannot stand in a header is not even tried."""
    monkeypatch.setattr(limits, "NOTIFICATIONS_AT_ONCE_MAX", lines)
    await queue(room, "a@x.org", "b@x.org", "nobody <b@x.org>")
    server.replies = ["550 no such user"]
    await sending.send_notifications()
    statuses = await room.fetch("SELECT status, count(*) FROM notifications GROUP BY 1 ORDER BY 1")
    assert statuses == [("DEAD", 2), ("SENT", 1)]
    assert server.connections == lines


async def test_a_server_that_is_away_kills_no_mail(room, sending, server):
    """However long it is away: no attempt is counted, and the caller is told to wait longer each time."""
    await queue(room, "a@x.org", "b@x.org")
    away = room.sending(MailChannel("smtp://127.0.0.1:1", SETTINGS.mail_from))
    with pytest.raises(Away):
        await away.send_notifications()
    assert [(status, tries) for _, status, tries in await room.rows()] == [("QUEUED", 0)] * 2
    await room.make_due()
    await sending.send_notifications()
    assert [(status, tries) for _, status, tries in await room.rows()] == [("SENT", 1)] * 2


async def test_several_workers_share_the_mails(room, server, sending):
    """None is sent twice; a line serves many mails."""
    await queue(room, *(f"{number}@x.org" for number in range(90)))
    other = Sending(room.pool, room.writer, MailChannel(server.url, SETTINGS.mail_from))
    taken = await asyncio.gather(sending.send_notifications(), other.send_notifications())
    assert (sum(taken), min(taken) > 0) == (90, True)
    assert len({recipients[0] for recipients, _ in server.mails}) == len(server.mails) == 90
    assert server.connections <= 2 * limits.NOTIFICATIONS_AT_ONCE_MAX


async def test_a_mail_whose_worker_died_is_sent_after_the_lease(room, server, sending):
    """What was taken and not ended is due again; a slow worker that comes back ends nothing that is not its own."""
    await queue(room, "ayu@example.com")
    await room.execute("UPDATE notifications SET attempts = 1, due_at = now() + interval '3 minutes'")
    assert await sending.send_notifications() == 0
    await room.make_due()
    assert await sending.send_notifications() == 1
    assert await room.fetch("SELECT status, attempts FROM notifications") == [("SENT", 2)]


@pytest.mark.parametrize("title", ["Film\r\nBcc: all@x.org", "<script>alert(1)</script>"])
async def test_a_title_is_only_ever_a_title(room, server, sending, title):
    """A line break in a name adds no header, and a tag no script."""
    await room.execute("UPDATE movies SET title = $1", title)
    room.small.catalogue.forget(room.small.showtime)
    await queue(room, "ayu@example.com")
    await sending.send_notifications()
    ((recipients, mail),) = server.mails
    assert recipients == ["ayu@example.com"]
    assert "Bcc" not in mail
    assert "<script>" not in mail.get_body(("html",)).get_content()
    assert " ".join(title.split()) in mail["Subject"]
    assert email.utils.parseaddr(mail["To"])[1] == "ayu@example.com"


@pytest.mark.covers("001.23")
async def test_a_refund_is_told_when_it_is_done(room, server, sending):
    """`Berhasil Refund`, with the amount; and before it why money bought nothing."""
    booking = await room.book("A1", "A2")
    await room.capture(booking, "REFUND")
    refund = await room.owe(booking, "seats_taken")
    await room.move_refund(refund, "SETTLED")
    await room.spread()
    await sending.send_notifications()
    mails = {mail["X-Seatlock-Kind"]: mail for _, mail in server.mails}
    assert mails["refund_done"]["Subject"].startswith("Berhasil Refund: Rp 100.000")
    assert "orang lain" in mails["refund_queued"].get_body(("plain",)).get_content()


async def test_a_cancelled_showtime_says_what_goes_back(room, server, sending):
    """The amount that is owed because of it; nothing is promised to whoever has not paid."""
    paid, _ = await room.sell("A1", locale="en-GB"), await room.book("A2", locale="en")
    await room.execute("UPDATE announcements SET spread_at = now()")
    await room.owe(paid, "showtime_cancelled", "cancelled")
    await room.execute("UPDATE bookings SET status = 'CANCELLED', status_reason = 'showtime_cancelled'")
    await room.spread()
    await sending.send_notifications()
    texts = sorted(mail.get_body(("plain",)).get_content() for _, mail in server.mails)
    assert ["What goes back to you: IDR 50,000" in text for text in texts].count(True) == 1
    assert ["was not paid yet" in text for text in texts].count(True) == 1
