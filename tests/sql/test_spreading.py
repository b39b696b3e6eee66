"""Who is told of what: from announcements to notifications, each once."""

import asyncio

import pytest

from engine.notifications.spreading import Spreading
from engine.settings import Settings
from tests.mailroom import SETTINGS, Mailroom
from tests.small_catalogue import small_catalogue


@pytest.fixture
async def room(ledger_pool):
    """A mailroom."""
    room = Mailroom(ledger_pool, await small_catalogue(ledger_pool, SETTINGS))
    yield room
    room.press.close()


async def names(room):
    """Spread, and give the business ids of all notifications."""
    await room.spread()
    return [name for name, _, _ in await room.rows()]


@pytest.mark.covers("000.9", "001.14")
async def test_a_paid_booking_is_told_once(room):
    """The ticket's mail is queued with the announcement; saying it again changes nothing."""
    booking = await room.sell("A1", "A2")
    assert await names(room) == [f"mail:ticket:{booking}"]
    await room.execute("UPDATE announcements SET spread_at = NULL")
    assert await names(room) == [f"mail:ticket:{booking}"]
    assert await room.fetch("SELECT count(*) FROM announcements WHERE spread_at IS NULL") == [(0,)]


@pytest.mark.covers("000.21", "001.34")
async def test_a_cancelled_showtime_is_told_once_however_it_was_announced(room):
    """Its end and its refund are two announcements; the customer gets one word, by each channel there is."""
    room.spreading = Spreading(room.pool, Settings(message_webhook_url="https://wa.example"))
    paid = await room.sell("A1", phone="+62 812")
    unpaid = await room.book("A2")
    await room.owe(paid, "showtime_cancelled", "cancelled")
    await room.end(paid, "REFUNDED", "showtime_cancelled")
    await room.end(unpaid, "CANCELLED", "showtime_cancelled")
    told = [name for name in await names(room) if "ticket" not in name]
    assert told == [
        *sorted(f"mail:showtime_cancelled:{booking}" for booking in (paid, unpaid)),
        f"message:showtime_cancelled:{paid}",
    ]


async def test_a_customers_own_cancellation_is_no_news(room):
    """Who cancels knows it; their refund is told when it is done."""
    booking = await room.sell("A1")
    await room.end(booking, "REFUNDED", "customer")
    refund = await room.owe(booking, "customer", "tickets")
    assert await names(room) == [f"mail:ticket:{booking}"]
    await room.move_refund(refund, "SETTLED")
    assert f"mail:refund_done:{refund}" in await names(room)


async def test_money_that_bought_nothing_is_never_passed_over_in_silence(room):
    """The customer is told at once, and again when it is back."""
    booking = await room.book("A1")
    await room.capture(booking, "REFUND")
    refund = await room.owe(booking, "seats_taken")
    assert await names(room) == [f"mail:refund_queued:{refund}"]


@pytest.mark.covers("001.24")
async def test_administrators_are_told_of_a_manual_refund_at_each_failure(room):
    """All of them by their accounts, or those that the settings name; again when a retry has failed, too."""
    for email, role in (("one@x.org", "admin"), ("two@x.org", "admin"), ("three@x.org", "staff")):
        sql = "INSERT INTO users (id, email, password_hash, role) VALUES (gen_random_uuid(), $1, '', $2)"
        await room.execute(sql, email, role)
    booking = await room.book("A1")
    await room.capture(booking, "REFUND")
    refund = await room.owe(booking, "seats_taken")
    await room.move_refund(refund, "MANUAL", attempts=5)
    told = [name for name in await names(room) if "manual" in name]
    assert told == [f"mail:refund_manual:{refund}:5:{email}" for email in ("one@x.org", "two@x.org")]
    await room.execute("UPDATE refunds SET status = 'QUEUED', due_at = now()")
    await room.move_refund(refund, "MANUAL", attempts=10)
    room.spreading = Spreading(room.pool, Settings(admin_emails=" Boss@x.org ,"))
    assert f"mail:refund_manual:{refund}:10:boss@x.org" in await names(room)


async def test_money_of_an_unknown_session_has_no_address(room):
    """It is a case for a person, and holds up nobody's mails."""
    await room.execute(
        "INSERT INTO announcements (business_id, type, data) VALUES ('booking.confirmed:x', 'booking.confirmed', '{}')"
    )
    booking = await room.sell("A1")
    assert await names(room) == [f"mail:ticket:{booking}"]


async def test_two_workers_share_what_was_announced(room, monkeypatch):
    """Batches never overlap, and nothing is told twice."""
    monkeypatch.setattr("engine.notifications.spreading.ANNOUNCEMENTS_PER_BATCH_MAX", 3)
    for seat in ("A1", "A2", "A3", "A4", "A5", "A6"):
        await room.sell(seat)
    other = Spreading(room.pool, SETTINGS)
    await asyncio.gather(room.spreading.spread_announcements(), other.spread_announcements())
    await room.spread()
    assert len(await room.rows()) == 6


async def test_a_cancelled_showtime_of_thousands_is_spread_in_batches(room):
    """Ten thousand announcements take seconds."""
    await room.execute(
        "INSERT INTO bookings (id, showtime_id, subject, email, locale, status, status_reason, owner_number,"
        " claimed_at, amount_minor, currency, expires_at) SELECT gen_random_uuid(), $1, 'ayu', n || '@x.org', 'id',"
        " 'CANCELLED', 'showtime_cancelled', n, now(), 0, 'IDR', now() FROM generate_series(1, 10000) AS n",
        room.small.showtime,
    )
    async with asyncio.timeout(20):
        await room.spread()
    assert await room.fetch("SELECT count(*), count(DISTINCT recipient) FROM notifications") == [(10_000, 10_000)]
