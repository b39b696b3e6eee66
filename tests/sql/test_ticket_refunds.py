"""Tickets that customers give back: judged by the database's clock under locks, once each, never more than was paid."""

import asyncio

import pytest

from engine.errors import InvalidInput, Refusal, Unavailable
from engine.orders.ticket_refunds import TicketRefunds, judge
from tests.ledgers import PRICE_MINOR, SHOWTIME, booking_id, eventually

TIERS = "24h:100,2h:50"
BOOKING = booking_id(7)


class Shop:
    """A booking of three seats, paid and confirmed, for a show that begins in some hours."""

    def __init__(self, world):
        self.world, self.ledger = world, world.ledger

    async def sell(self, hours):
        """Sell the seats."""
        await self.world.paid(7, [3, 4, 5])
        await self.world.pool.execute(
            """
            WITH sold AS (
                INSERT INTO tickets (id, showtime_id, seat_index, seat, tier, booking_id, gateway, session_id,
                                     sale_number, subject, price_minor, currency, status, sold_at)
                SELECT gen_random_uuid(), showtime_id, seat_index, seat, tier, booking_id, 'fake', 's7', 7, subject,
                       price_minor, 'IDR', 'SOLD', now()
                FROM booking_seats JOIN bookings ON bookings.id = booking_id
            ), decided AS (UPDATE captures SET outcome = 'TICKETS', outcome_at = now())
            UPDATE bookings SET status = 'CONFIRMED'
            """
        )
        await self.begin_in(hours)

    async def begin_in(self, hours):
        """Move the start of the show."""
        sql = "UPDATE showtimes SET starts_at = now() + $2 * interval '1 hour', ends_at = now() + interval '9 days' "
        await self.world.pool.execute(sql + "WHERE id = $1", SHOWTIME, float(hours))

    async def tickets(self):
        """Give the tickets' ids in the order of their seats."""
        return [row[0] for row in await self.world.fetch("SELECT id::text FROM tickets ORDER BY seat_index")]

    async def quote(self, tickets=None):
        """Ask what giving back would pay."""
        return judge(await self.ledger.read_refund_case(BOOKING, "anna"), tickets, TIERS)

    async def refund(self, tickets=None, comment="flu"):
        """Give tickets back."""

        def decide(case):
            return {quoted.ticket.id: quoted.amount_minor for quoted in judge(case, tickets, TIERS).tickets}

        return await self.ledger.refund_tickets(BOOKING, "anna", decide, comment)

    async def refunds(self):
        """Give what is owed."""
        return await self.world.fetch("SELECT amount_minor, reason, comment, status FROM refunds ORDER BY created_at")


async def refused(call):
    """Give the refusal of a call."""
    with pytest.raises(Refusal) as refusal:
        await call
    return refusal.value


@pytest.fixture
async def shop(world):
    """A shop whose show begins in three hours: half of the price goes back."""
    shop = Shop(world)
    await shop.sell(3)
    return shop


@pytest.mark.covers("004.33", "002.11", "002.12")
async def test_a_whole_booking_is_given_back(shop):
    """Tickets REFUNDED and their seats due for stock, one refund with reason and words, the booking REFUNDED."""
    quote = await shop.quote()
    assert (quote.amount_minor, quote.percent, quote.rule, quote.currency) == (3 * PRICE_MINOR // 2, 50, "2h:50", "IDR")
    assert 0.9 < (quote.valid_until - quote.now).total_seconds() / 3600 < 1.1
    done = await shop.refund()
    assert (done.booking.status, done.booking.status_reason) == ("REFUNDED", "customer")
    assert (done.sale.sale_number, done.sale.seats, done.sale.subject) == (7, [3, 4, 5], "anna")
    assert await shop.refunds() == [(3 * PRICE_MINOR // 2, "customer", "flu", "QUEUED")]
    assert await shop.world.fetch("SELECT DISTINCT status, restock_due IS NOT NULL FROM tickets") == [
        ("REFUNDED", True)
    ]
    (refund,) = done.booking.refunds
    assert (refund.id, refund.comment, sorted(refund.tickets)) == (done.refund_id, "flu", sorted(await shop.tickets()))
    assert await shop.world.fetch("SELECT sum(amount_minor)::bigint FROM refund_tickets") == [(3 * PRICE_MINOR // 2,)]
    lowest = min(await shop.tickets())
    assert await shop.world.fetch("SELECT business_id FROM refunds") == [(f"tickets:{BOOKING}:{lowest}",)]
    told = await shop.world.fetch("SELECT type FROM announcements ORDER BY id DESC LIMIT 2")
    assert set(told) == {("refund.queued",), ("booking.refunded",)}


async def test_single_tickets_are_given_back_one_by_one(shop):
    """The booking stays CONFIRMED until the last one; each ticket is paid once; the capture is never exceeded."""
    await shop.begin_in(48)
    first, second, third = await shop.tickets()
    assert (await shop.refund([first, first])).booking.status == "CONFIRMED"
    refusal = await refused(shop.refund([second, first]))
    assert (refusal.code, refusal.details["tickets"]) == ("not_refundable", {first: "REFUNDED"})
    assert (await shop.quote()).amount_minor == 2 * PRICE_MINOR
    assert (await shop.refund([third])).booking.status == "CONFIRMED"
    assert (await shop.refund()).booking.status == "REFUNDED"
    assert [amount for amount, *_ in await shop.refunds()] == [PRICE_MINOR] * 3
    assert (await refused(shop.refund())).details["why"] == "ended"


async def test_two_refunds_at_once_pay_each_ticket_once(shop):
    """They wait for each other under the booking's lock: one sees what the other has done."""
    first, second, third = await shop.tickets()
    asked = [[first, second], [second, third], [first], None]
    done = await asyncio.gather(*(shop.refund(tickets) for tickets in asked), return_exceptions=True)
    assert all(not isinstance(one, BaseException) or one.code == "not_refundable" for one in done)
    paid = await shop.world.fetch("SELECT ticket_id, count(*) FROM refund_tickets GROUP BY 1 HAVING count(*) > 1")
    assert paid == []
    owed = await shop.world.fetch(
        "SELECT sum(amount_minor)::bigint = $1 * count(*) FROM refund_tickets", PRICE_MINOR // 2
    )
    assert owed == [(True,)]


async def test_a_customer_and_the_cinema_at_once_never_pay_more_than_the_capture(shop):
    """Whoever comes second under the lock sees a cancelled showtime, or tickets that are gone."""
    locked, waited_for = asyncio.Event(), asyncio.Event()

    async def cancel():
        async with shop.world.pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", SHOWTIME)
            locked.set()
            await waited_for.wait()

    async def waits():
        return await shop.world.fetch("SELECT 1 FROM pg_locks WHERE NOT granted")

    cancelling = asyncio.create_task(cancel())
    await locked.wait()
    refunding = asyncio.create_task(shop.refund())
    await eventually(waits)
    waited_for.set()
    assert (await refused(refunding)).details["why"] == "showtime_cancelled"
    await cancelling
    assert await shop.refunds() == []


@pytest.mark.parametrize(("hours", "percent"), [(25, 100), (3, 50)])
async def test_time_is_the_databases_and_the_nearest_policy_counts(shop, hours, percent):
    """The showtime's tiers before the cinema's before the setting."""
    await shop.begin_in(hours)
    assert (await shop.quote()).percent == percent
    await shop.world.pool.execute("""UPDATE cinemas SET policy = '{"refund_tiers": "1h:70"}'""")
    assert (await shop.quote()).percent == 70
    await shop.world.pool.execute("""UPDATE showtimes SET policy = '{"refund_tiers": "0h:10"}'""")
    assert (await shop.quote()).percent == 10
    await shop.world.pool.execute("""UPDATE showtimes SET policy = '{"refund_tiers": "0h:0"}'""")
    assert (await refused(shop.quote())).details["why"] == "too_late"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE showtimes SET starts_at = now() + interval '1 hour'", "too_late"),
        ("UPDATE showtimes SET starts_at = now() - interval '1 minute'", "too_late"),
        ("UPDATE tickets SET status = 'USED'", "no_ticket"),
        ("UPDATE showtimes SET status = 'CANCELLED'", "showtime_cancelled"),
        ("UPDATE bookings SET status = 'CANCELLED'", "ended"),
        ("UPDATE bookings SET status = 'PENDING'", "not_paid"),
        ("UPDATE tickets SET price_minor = 1", "nothing_paid"),
    ],
)
async def test_what_cannot_be_refunded_is_said_why(shop, sql, why):
    """Quote and refund say the same, and nothing has changed."""
    await shop.world.pool.execute(sql)
    for act in (shop.quote, shop.refund):
        refusal = await refused(act())
        assert (refusal.code, refusal.details["why"]) == ("not_refundable", why)
    assert await shop.refunds() == []


async def test_a_used_ticket_is_never_refunded_but_the_others_are(shop):
    """Somebody sits there. The booking stays CONFIRMED."""
    first, second, _ = await shop.tickets()
    await shop.world.pool.execute("UPDATE tickets SET status = 'USED' WHERE id = $1", first)
    assert (await refused(shop.refund([first, second]))).details["tickets"] == {first: "USED"}
    assert (await shop.refund()).booking.status == "CONFIRMED"
    assert (await shop.refunds())[0][0] == 2 * (PRICE_MINOR // 2)


async def test_a_refund_waits_for_the_door_and_sees_a_used_ticket(shop):
    """Schedule: the door holds the ticket when its customer gives it back: whoever was let in gets nothing."""
    ticket, *_ = await shop.tickets()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with shop.world.pool.acquire() as door:
        async with door.transaction():
            await door.execute("UPDATE tickets SET status = 'USED' WHERE id = $1", ticket)
            asked = asyncio.create_task(refused(shop.refund([ticket])))

            async def has_come():
                return asked.done() or await shop.world.fetch(waiting) == [(1,)]

            await eventually(has_come)
        assert (await asked).details["tickets"] == {ticket: "USED"}
    assert await shop.refunds() == []


async def test_a_stranger_and_a_strange_ticket_are_refused(shop):
    """Somebody else's booking is not found; a ticket of another booking is named."""
    assert (await refused(shop.ledger.read_refund_case(BOOKING, "budi"))).code == "not_found"
    assert (await refused(shop.ledger.refund_tickets(BOOKING, "budi", dict, "x"))).code == "not_found"
    assert (await refused(shop.ledger.refund_tickets(booking_id(8), "anna", dict, "x"))).code == "not_found"
    assert await shop.ledger.read_refund_case(booking_id(8), "anna") is None
    with pytest.raises(InvalidInput) as error:
        await shop.quote(["00000000-0000-7000-8000-000000000001"])
    assert error.value.details["errors"][0]["pointer"] == "/tickets/0"


async def test_seats_wait_for_the_worker_where_redis_is_away(shop):
    """The money is owed all the same; the seats stay due until somebody has freed them."""

    class Away:
        async def restock_seats(self, *sale):
            raise Unavailable("redis_unavailable")

    refunds = TicketRefunds(shop.ledger, Away(), None, TIERS)
    with pytest.raises(Refusal, match="quote_changed") as changed:
        await refunds.refund(BOOKING, "anna", None, "flu", PRICE_MINOR)
    assert changed.value.details["amount"] == 3 * PRICE_MINOR // 2
    assert (await refunds.refund(BOOKING, "anna", None, "flu")).booking.status == "REFUNDED"
    assert await shop.world.fetch("SELECT count(*) FROM tickets WHERE restock_due IS NOT NULL") == [(3,)]
