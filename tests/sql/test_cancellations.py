"""A cancelled showtime in the ledger: one decision, then every ticket and all money, each once (I3, I12)."""

import asyncio
import json

import pytest

from engine.ledger.facts import decode_fact
from engine.ledger.projector import project
from engine.ledger.queries import query
from engine.seats.records import Request
from tests.ledgers import OTHER_SHOWTIME, PRICE_MINOR, SHOWTIME, as_uuid, booking_id, describe, numbered
from tests.showtimes import refused


async def sell(world, *sales, showtime=SHOWTIME):
    """Bring sales (owner number, seats) into the ledger as tickets."""
    facts = numbered([await world.paid(owner, seats, showtime) for owner, seats in sales])
    await apply(world, facts)


async def apply(world, facts):
    """Let the projector apply facts."""
    read = []
    for fact in facts:
        fields = {name: json.dumps(value) if name == "data" else str(value) for name, value in fact.items()}
        read.append(decode_fact(0, b"1-1", {name.encode(): text.encode() for name, text in fields.items()}))
    async with world.pool.acquire() as connection:
        assert not (await project(connection, read, describe)).parked


async def cancel(world, **changes):
    """Cancel the showtime."""
    fields = {"actor": "boss", "showtime": SHOWTIME, "reason": "The projector is broken"} | changes
    return await world.ledger.cancel_showtime(**fields)


async def work_off(world, batch=2):
    """Do what a worker does in the ledger, to its end; gives how many batches it were."""
    batches = 0
    for step in (world.ledger.cancel_unpaid, world.ledger.refund_paid, world.ledger.top_up_refunds):
        while await step(SHOWTIME, batch):
            batches += 1
    return batches


async def refunds(world):
    """Give what is owed."""
    return await world.fetch("SELECT business_id, amount_minor, reason FROM refunds ORDER BY 1")


async def statuses(world):
    """Give each booking's status and its reason."""
    return await world.fetch("SELECT owner_number, status, status_reason FROM bookings ORDER BY 1")


async def tickets(world):
    """Give each ticket: seat, status, whether its seat waits to go back, and what refunds pay for it."""
    return await world.fetch(
        """SELECT seat_index, status, restock_due IS NOT NULL,
                  (SELECT sum(amount_minor)::bigint FROM refund_tickets WHERE ticket_id = tickets.id)
           FROM tickets ORDER BY 1"""
    )


async def balance(world):
    """Give captured money less live tickets less refunds: nothing is left over (I3)."""
    ((left,),) = await world.fetch(
        """SELECT (SELECT sum(amount_minor) FROM captures) - (SELECT coalesce(sum(amount_minor), 0) FROM refunds)
                - (SELECT coalesce(sum(price_minor), 0) FROM tickets WHERE status IN ('SOLD', 'USED'))"""
    )
    return left


# --- The decision


@pytest.mark.covers("000.18", "001.16", "001.17", "001.33", "001.36")
async def test_a_showtime_is_cancelled_with_who_why_and_what_it_met(world):
    """One transaction: the status, the reason, the act, what was there. The other showtime goes on."""
    await sell(world, (7, [1, 2]), (8, [3]))
    await world.intend(9, [4])
    decision = await cancel(world)
    met = decision.cancellation
    assert (decision.fresh, decision.replayed) == (True, False)
    assert (met.bookings, met.tickets, met.money) == (3, 3, {"IDR": 3 * PRICE_MINOR})
    assert (met.bookings_left, met.tickets_left, met.seats_left, met.refunds) == (3, 3, 0, ())
    assert await world.fetch("SELECT id, status, status_reason FROM showtimes ORDER BY 1") == [
        (SHOWTIME, "CANCELLED", "The projector is broken"),
        (OTHER_SHOWTIME, "OPEN", None),
    ]
    assert await world.fetch("SELECT actor, verb, subject, reason FROM acts") == [
        ("boss", "cancel_showtime", f"showtime:{SHOWTIME}", "The projector is broken")
    ]
    assert await world.fetch("SELECT type, showtime_id FROM announcements WHERE type LIKE 'showtime%'") == [
        ("showtime.cancelled", SHOWTIME)
    ]


@pytest.mark.covers("001.18")
async def test_a_showtime_without_tickets_is_done_at_once(world):
    """Nothing was sold: once Redis knows, there is nothing to work off."""
    await cancel(world)
    assert await work_off(world) == 0
    assert not await world.ledger.finish_cancellation(SHOWTIME)
    await world.ledger.close_cancellation(SHOWTIME)
    assert await world.ledger.finish_cancellation(SHOWTIME)
    assert await world.ledger.due_cancellations(10) == {}


async def test_a_repeat_gives_the_same_cancellation(world):
    """With the same key as the first run was answered; without, as what stands; and one act in all."""
    request = Request("r", "print")
    first = await cancel(world, request=request)
    again = await cancel(world, request=request)
    other = await cancel(world, actor="other", reason="Rain")
    assert (again.fresh, again.replayed, other.fresh, other.replayed) == (True, True, False, False)
    assert first.cancellation == again.cancellation == other.cancellation
    assert await world.fetch("SELECT count(*) FROM acts") == [(1,)]


async def test_two_who_cancel_at_once_make_one_cancellation(world):
    """The showtime's row lets one go first."""
    decisions = await asyncio.gather(*(cancel(world, actor=f"boss {number}") for number in range(5)))
    assert sum(decision.fresh for decision in decisions) == 1
    assert len({decision.cancellation.cancelled_by for decision in decisions}) == 1
    assert await world.fetch("SELECT count(*) FROM acts") == [(1,)]


@pytest.mark.parametrize(("days", "code"), [(6.9, None), (7.1, "showtime_closed")])
async def test_a_showtime_can_be_cancelled_until_a_week_after_its_end(world, days, code):
    """The projector breaks in the middle of a show, and the cinema may need days to say so."""
    await world.fetch(
        "UPDATE showtimes SET starts_at = starts_at - moved, ends_at = ends_at - moved, "
        "sales_open_at = sales_open_at - moved, sales_stop_at = sales_stop_at - moved "
        "FROM (SELECT make_interval(hours => 26 + $1) AS moved) AS back",
        round(days * 24),
    )
    if code is None:
        assert (await cancel(world)).fresh
        return
    for call in (cancel(world), world.ledger.preview_cancellation(SHOWTIME)):
        with refused(code):
            await call


async def test_a_look_before_changes_nothing(world):
    """`dry_run`: bookings, tickets and money, with what went back before taken off."""
    with refused("not_found"):
        await world.ledger.preview_cancellation(999)
    await sell(world, (7, [1, 2]), (8, [3]))
    await give_back(world, 7, [1], percent=50)
    before = await world.dump()
    seen = await world.ledger.preview_cancellation(SHOWTIME)
    assert (seen.bookings, seen.tickets, seen.money) == (2, 2, {"IDR": 5 * PRICE_MINOR // 2})
    assert await world.dump() == before


# --- What follows


async def give_back(world, owner, seats, percent):
    """Let a customer give tickets back for a part of their price, as the rules before a show allow."""
    amount_minor = PRICE_MINOR * percent // 100
    async with world.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            WITH given AS (
                UPDATE tickets SET status = 'REFUNDED' WHERE session_id = $1 AND seat_index = ANY ($2) RETURNING id
            ), owed AS (
                INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, reason)
                VALUES (gen_random_uuid(), $3, 'fake', $1, $4, $5, 'IDR', 'customer') RETURNING id
            )
            INSERT INTO refund_tickets SELECT owed.id, given.id, $6 FROM owed, given
            """,
            f"s{owner}",
            seats,
            f"tickets:{owner}:{seats}",
            as_uuid(owner),
            amount_minor * len(seats),
            amount_minor,
        )
        await connection.execute(
            "UPDATE bookings SET status = 'REFUNDED', status_reason = 'customer' WHERE id = $1 AND NOT EXISTS "
            "(SELECT FROM tickets WHERE booking_id = $1 AND status <> 'REFUNDED')",
            as_uuid(owner),
        )


@pytest.mark.covers("000.8", "000.10", "000.19", "001.19", "001.20", "001.25")
async def test_every_customer_gets_everything_back_once(world):
    """Used tickets too; one refund per payment; whoever had not paid yet is CANCELLED. Doing it again does nothing."""
    await sell(world, (7, [1, 2]), (8, [3]), (9, [4]))
    await world.fetch("UPDATE tickets SET status = 'USED' WHERE seat_index = 3")
    await world.intend(10, [5])
    await cancel(world)
    for _ in range(2):
        await work_off(world)
        assert await refunds(world) == [
            ("cancelled:fake:s7", 2 * PRICE_MINOR, "showtime_cancelled"),
            ("cancelled:fake:s8", PRICE_MINOR, "showtime_cancelled"),
            ("cancelled:fake:s9", PRICE_MINOR, "showtime_cancelled"),
        ]
    assert await tickets(world) == [(seat, "REFUNDED", True, PRICE_MINOR) for seat in (1, 2, 3, 4)]
    assert await statuses(world) == [
        (7, "REFUNDED", "showtime_cancelled"),
        (8, "REFUNDED", "showtime_cancelled"),
        (9, "REFUNDED", "showtime_cancelled"),
        (10, "CANCELLED", "showtime_cancelled"),
    ]
    assert await world.fetch("SELECT status FROM payments WHERE session_id = 's10'") == [("EXPIRED",)]
    assert await world.fetch("SELECT DISTINCT comment, status FROM refunds") == [("The projector is broken", "QUEUED")]
    assert await balance(world) == 0
    progress = await world.ledger.read_cancellation(SHOWTIME)
    assert (progress.bookings_left, progress.tickets_left, progress.seats_left) == (0, 0, 4)
    assert [(sums.status, sums.refunds, sums.amount_minor) for sums in progress.refunds] == [
        ("QUEUED", 3, 4 * PRICE_MINOR)
    ]


async def test_whoever_gave_tickets_back_before_gets_the_rest(world):
    """Half of the price before, the other half now, whether one ticket or all of a booking were given back."""
    await sell(world, (7, [1, 2]), (8, [3, 4]), (9, [5]))
    await give_back(world, 7, [1], percent=50)
    await give_back(world, 8, [3, 4], percent=50)
    await give_back(world, 9, [5], percent=100)
    await cancel(world)
    await work_off(world)
    assert [row for row in await refunds(world) if row[2] == "showtime_cancelled"] == [
        ("cancelled:fake:s7", 3 * PRICE_MINOR // 2, "showtime_cancelled"),
        ("cancelled:fake:s8", PRICE_MINOR, "showtime_cancelled"),
    ]
    assert [row[3] for row in await tickets(world)] == 5 * [PRICE_MINOR]
    assert [row[1:] for row in await statuses(world)] == [
        ("REFUNDED", "showtime_cancelled"),
        ("REFUNDED", "customer"),
        ("REFUNDED", "customer"),
    ]
    assert await balance(world) == 0


async def test_tickets_that_cost_nothing_are_called_in_without_a_refund(world):
    """There is no money to give back, and a refund of nothing would never settle."""
    await sell(world, (7, [1]))
    await world.fetch("UPDATE captures SET amount_minor = 0")
    await world.fetch("UPDATE tickets SET price_minor = 0")
    await cancel(world)
    await work_off(world)
    assert (await refunds(world), await statuses(world)) == ([], [(7, "REFUNDED", "showtime_cancelled")])
    assert await tickets(world) == [(1, "REFUNDED", True, None)]


async def test_other_showtimes_keep_their_tickets(world):
    """Only what hangs on the cancelled one is touched."""
    await sell(world, (7, [1]))
    await sell(world, (8, [1]), showtime=OTHER_SHOWTIME)
    await world.intend(9, [2], OTHER_SHOWTIME)
    await cancel(world)
    await work_off(world)
    assert [row[1] for row in await statuses(world)] == ["REFUNDED", "CONFIRMED", "PENDING"]
    assert [row[0] for row in await refunds(world)] == ["cancelled:fake:s7"]


async def test_workers_share_a_cancellation(world):
    """Schedule: one worker stands in the middle of a batch; the others do all the rest, and its own when it dies."""
    await sell(world, *((owner, [owner]) for owner in range(1, 13)))
    await cancel(world)
    async with world.pool.acquire() as connection:
        dying = connection.transaction()
        await dying.start()
        held = await connection.fetch(query("lock_paid_bookings"), SHOWTIME, 5)
        done = await asyncio.gather(*(world.ledger.refund_paid(SHOWTIME, 4) for _ in range(5)))
        assert (len(held), sum(done)) == (5, 7)
        await dying.rollback()
    await work_off(world)
    assert len(await refunds(world)) == 12
    assert await balance(world) == 0


@pytest.mark.parametrize(
    "before",
    ["call_tickets_in", "insert_rest_refunds", "insert_rest_refund_tickets", "refund_confirmed_bookings"],
)
async def test_a_batch_that_dies_leaves_nothing_half_done(world, monkeypatch, before):
    """Schedule: the process ends before any statement; tickets, refunds and bookings change together or not at all."""
    await sell(world, (7, [1, 2]), (8, [3]))
    await cancel(world)
    untouched = await world.dump()

    def dying(name):
        if name == before:
            raise KeyboardInterrupt
        return query(name)

    monkeypatch.setattr("engine.ledger.cancellations.query", dying)
    with pytest.raises(KeyboardInterrupt):
        await world.ledger.refund_paid(SHOWTIME, 10)
    monkeypatch.undo()
    assert await world.dump() == untouched
    await work_off(world)
    assert len(await refunds(world)) == 2
    assert await balance(world) == 0


# --- Money that comes at the wrong moment


async def test_a_sale_on_its_way_ends_in_one_refund(world):
    """Schedule: money and sale, then the cancellation is worked off, then the fact of the sale is read."""
    fact = await world.paid(7, [1, 2])
    await cancel(world)
    assert await work_off(world) == 0
    await world.ledger.close_cancellation(SHOWTIME)
    assert not await world.ledger.finish_cancellation(SHOWTIME)
    await apply(world, numbered([fact]))
    await work_off(world)
    assert await refunds(world) == [("capture:fake:s7", 2 * PRICE_MINOR, "showtime_cancelled")]
    assert [row[:3] for row in await tickets(world)] == [(1, "REFUNDED", True), (2, "REFUNDED", True)]
    assert await statuses(world) == [(7, "REFUNDED", "showtime_cancelled")]
    assert await balance(world) == 0


async def test_money_whose_sale_the_seats_refused_ends_in_one_refund(world):
    """Schedule: money, then the cancellation, then the sale that is refused because of it."""
    await world.paid(7, [1])
    await cancel(world)
    await work_off(world)
    assert await world.ledger.refuse_capture("fake", "s7", "showtime_cancelled") == "REFUND"
    await work_off(world)
    assert await refunds(world) == [("capture:fake:s7", PRICE_MINOR, "showtime_cancelled")]
    assert await statuses(world) == [(7, "REFUNDED", "showtime_cancelled")]
    assert await balance(world) == 0


@pytest.mark.parametrize("worked_off", [False, True])
async def test_money_after_the_cancellation_goes_back_at_once(world, worked_off):
    """Schedule: the payment was begun before, and the customer pays after, whether the duty came by or not."""
    await world.intend(7, [1])
    await cancel(world)
    if worked_off:
        await work_off(world)
    assert (await world.pay(7, PRICE_MINOR)).verdict == "refund"
    assert (await world.pay(7, PRICE_MINOR)).repeated
    await work_off(world)
    assert await refunds(world) == [("capture:fake:s7", PRICE_MINOR, "showtime_cancelled")]
    ended = "CANCELLED" if worked_off else "REFUNDED"
    assert await statuses(world) == [(7, ended, "showtime_cancelled")]
    assert await balance(world) == 0


async def test_a_second_payment_and_a_cancellation_give_each_money_back_once(world):
    """Schedule: tickets for one session, money of another for the same booking, before and after."""
    await world.intend(7, [1])
    await world.intend(7, [1], session="s7b", now_ms=1_800_000_900_001, expires_at_ms=1_800_001_800_000)
    await sell(world, (8, [2]))
    await world.pay(7, PRICE_MINOR)
    await world.pay(7, PRICE_MINOR, session="s7b")
    await cancel(world)
    await work_off(world)
    assert await world.ledger.refuse_capture("fake", "s7", "showtime_cancelled") == "REFUND"
    await work_off(world)
    assert [row[0] for row in await refunds(world)] == ["cancelled:fake:s8", "capture:fake:s7", "capture:fake:s7b"]
    assert await balance(world) == 0


async def test_no_payment_begins_after_the_decision(world):
    """Schedule: the seats of the hold were frozen for the payment, then the cancellation, then the intent."""
    await cancel(world)
    with refused("showtime_closed"):
        await world.intend(7, [1])
    assert await world.ledger.read_booking(booking_id(7)) is None


async def test_a_sale_that_is_just_judged_comes_before_the_decision_or_after_it(world):
    """Whichever has the showtime's row first: tickets that the cancellation finds, or a refund; never a live ticket."""
    for round_ in range(5):
        await world.begin()
        fact = await world.paid(7, [1])
        calls = [apply(world, numbered([fact])), cancel(world)]
        await asyncio.gather(*(calls if round_ % 2 else reversed(calls)))
        await work_off(world)
        assert [row[1] for row in await tickets(world)] == ["REFUNDED"]
        assert [row[1:] for row in await refunds(world)] == [(PRICE_MINOR, "showtime_cancelled")]
        assert await balance(world) == 0


async def test_a_cancellation_is_done_when_the_last_seat_is_back(world):
    """Not while a booking, a seat or money of it is open, nor before Redis knows."""
    await sell(world, (7, [1]))
    await cancel(world)
    assert await world.ledger.due_cancellations(10) == {SHOWTIME: False}
    assert await world.ledger.due_cancellations(10) == {}
    await world.ledger.close_cancellation(SHOWTIME)
    assert not await world.ledger.finish_cancellation(SHOWTIME)
    await work_off(world)
    assert not await world.ledger.finish_cancellation(SHOWTIME)
    await world.fetch("UPDATE tickets SET restock_due = NULL")
    assert await world.ledger.finish_cancellation(SHOWTIME)
    assert (await world.ledger.read_cancellation(SHOWTIME)).done_at_ms is not None
