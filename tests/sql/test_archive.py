"""What the ledger lets go of: the seats of bookings that ended without tickets long ago, and nothing else."""

import asyncio

import pytest

from engine.ledger.archive import Archive
from engine.limits import DUTY_BATCH_MAX
from tests.ledgers import PRICE_MINOR, as_uuid, booking_id

pytestmark = pytest.mark.covers("004.32")


async def ended(world, owner, status, age="31 days", seats=(1, 2)):
    """Enter a booking that ended so long ago."""
    await world.intend(owner, [seat + 10 * owner for seat in seats])
    sql = "UPDATE bookings SET status = $2, updated_at = now() - $3::text::interval WHERE id = $1"
    await world.pool.execute(sql, as_uuid(owner), status, age)


async def seats_left(world):
    """Count the seat rows of each booking by its owner number."""
    sql = "SELECT owner_number, count(seat_index) FROM bookings LEFT JOIN booking_seats ON booking_id = id GROUP BY 1"
    return dict(await world.fetch(sql))


async def test_ended_bookings_lose_their_seats_after_30_days_and_stay(world):
    """EXPIRED and CANCELLED ones; the booking keeps its price, and a second run finds nothing to do."""
    await ended(world, 1, "EXPIRED")
    await ended(world, 2, "CANCELLED")
    await ended(world, 3, "EXPIRED", age="29 days")
    for owner, status in ((4, "CONFIRMED"), (5, "REFUNDED"), (6, "PENDING")):
        await ended(world, owner, status, age="400 days")
    archive = Archive(world.pool)
    assert await archive.archive_bookings() == 2
    assert await seats_left(world) == {1: 0, 2: 0, 3: 2, 4: 2, 5: 2, 6: 2}
    assert await archive.archive_bookings() == 0
    kept = await world.ledger.read_booking(booking_id(1))
    assert (kept.status, kept.seats, kept.amount_minor) == ("EXPIRED", (), 2 * PRICE_MINOR)
    assert [payment.session_id for payment in kept.payments] == ["s1"]


async def test_a_booking_whose_money_waits_keeps_its_seats(world):
    """Its seats are what the money is to buy; once it has its outcome they go."""
    await ended(world, 1, "EXPIRED")
    await world.pay(1, 2 * PRICE_MINOR)
    archive = Archive(world.pool)
    assert await archive.archive_bookings() == 0
    assert await seats_left(world) == {1: 2}
    await world.ledger.refuse_capture("fake", "s1", "seats_taken")
    await world.pool.execute("UPDATE bookings SET status = 'CANCELLED', updated_at = now() - interval '31 days'")
    assert await archive.archive_bookings() == 1


async def test_money_that_comes_while_a_booking_is_archived_waits_for_it(world):
    """Schedule: the archive has the booking; its money comes; it is judged afterwards, and goes back whole."""
    await ended(world, 1, "EXPIRED")
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.fetch("SELECT FROM bookings FOR UPDATE")
        paying = asyncio.create_task(world.pay(1, 2 * PRICE_MINOR))
        await connection.execute("DELETE FROM booking_seats")
        await connection.execute("UPDATE bookings SET archived_at = now()")
    assert (await paying).verdict == "refund"
    assert await world.fetch("SELECT amount_minor, reason FROM refunds") == [(2 * PRICE_MINOR, "booking_archived")]
    booking = await world.ledger.read_booking(booking_id(1))
    assert (booking.status, booking.status_reason) == ("REFUNDED", "paid_late")


async def test_workers_share_the_archive_in_small_batches(world):
    """What one has taken the other passes over; each takes a bounded number, the oldest first."""
    for owner in range(1, 4):
        await ended(world, owner, "EXPIRED", age=f"{40 + owner} days")
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.fetch("SELECT FROM bookings WHERE owner_number = 3 FOR UPDATE")
        assert await Archive(world.pool).archive_bookings() == 2
    assert await seats_left(world) == {1: 0, 2: 0, 3: 2}
    await world.pool.execute(
        "INSERT INTO bookings (id, showtime_id, subject, status, owner_number, claimed_at, amount_minor, currency, "
        "expires_at, updated_at) SELECT gen_random_uuid(), 42, 'anna', 'EXPIRED', 9, now(), 1, 'IDR', now(), "
        "now() - interval '50 days' FROM generate_series(1, $1)",
        DUTY_BATCH_MAX,
    )
    assert await Archive(world.pool).archive_bookings() == DUTY_BATCH_MAX
    assert await seats_left(world) == {1: 0, 2: 0, 3: 2, 9: 0}
    assert await Archive(world.pool).archive_bookings() == 1


async def test_words_of_long_ago_are_forgotten_and_money_is_not(world):
    """What was spread or sent 90 days ago goes; what waits, failed, is in a log, or tells of money stays."""
    await world.intend(1, [1])
    await world.pay(1, PRICE_MINOR)
    await world.ledger.refuse_capture("fake", "s1", "seats_taken")
    await world.fetch("DELETE FROM announcements")
    for age in ("91 days", "89 days"):
        await world.pool.execute(
            "INSERT INTO announcements (business_id, type, spread_at) SELECT n || $1, 'x', CASE WHEN n <> 'unspread' "
            "THEN now() - $1::text::interval END FROM unnest('{told,logged,unspread}'::text[]) AS n",
            age,
        )
        await world.pool.execute(
            "INSERT INTO notifications (business_id, kind, channel, recipient, locale, status, due_at, ended_at) "
            "SELECT status || $1, 'x', 'mail', 'a', 'id', status, CASE status WHEN 'QUEUED' THEN now() END, "
            "CASE WHEN status <> 'QUEUED' THEN now() - $1::text::interval END "
            "FROM unnest('{SENT,SUPERSEDED,DEAD,QUEUED}'::text[]) AS status",
            age,
        )
        await world.pool.execute(
            "INSERT INTO reminders (booking_id, showtime_id, email, locale, due_at, created_at) SELECT "
            "gen_random_uuid(), 42, 'a', 'id', due, now() - $1::text::interval FROM unnest(ARRAY[NULL, now()]) AS due",
            age,
        )
    await world.fetch(
        "INSERT INTO webhook_endpoints (url, events, secrets, created_by) VALUES ('u', '{x}', '{s}', 'a')"
    )
    await world.fetch(
        "INSERT INTO webhook_deliveries (endpoint_id, announcement_id, event_id, type, body, give_up_at) "
        "SELECT 1, id, event_id, type, '{}', now() FROM announcements WHERE business_id LIKE 'logged%'"
    )
    assert await Archive(world.pool).forget_words() == 4
    kept = await world.fetch("SELECT business_id FROM announcements ORDER BY 1")
    assert [name for (name,) in kept] == [
        "logged89 days",
        "logged91 days",
        "told89 days",
        "unspread89 days",
        "unspread91 days",
    ]
    gone = await world.fetch(
        "SELECT count(*) FROM notifications WHERE business_id IN ('SENT91 days', 'SUPERSEDED91 days')"
    )
    assert (gone, await world.fetch("SELECT count(*) FROM notifications")) == ([(0,)], [(6,)])
    assert await world.fetch("SELECT count(*) FROM reminders") == [(3,)]
    for table in ("payments", "payment_events", "captures", "refunds"):
        assert await world.fetch(f"SELECT count(*) FROM {table}") == [(1,)], table
    assert await Archive(world.pool).forget_words() == 0
