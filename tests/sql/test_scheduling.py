"""Putting showtimes on and moving them, on a real PostgreSQL: what is refused, and the races among operators."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from engine.catalogue.policies import PolicyOverrides
from engine.catalogue.records import ShowtimeChange
from engine.errors import Refusal
from tests.sql.stage import PRICES, anybody, count, noon, refusal_of


async def test_sales_run_from_now_to_the_start_unless_told(catalogue, stage):
    """`sales_open_at` is the moment of creation, `sales_stop_at` the start, `ends_at` the film's length later."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    (number,) = await stage.add(stage.show())
    showtime = await catalogue.showtime(number)
    assert before <= showtime.sales_open_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert showtime.sales_stop_at == showtime.starts_at
    assert showtime.ends_at - showtime.starts_at == timedelta(hours=2)


@pytest.mark.covers("004.9")
@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"starts_at": datetime(2020, 1, 1, tzinfo=UTC)}, "/items/0/starts_at"),
        ({"starts_at": datetime(9999, 12, 31, 23, tzinfo=UTC)}, "/items/0/starts_at"),
        ({"prices": {"REGULAR": 1}}, "/items/0/prices"),
        ({"auditorium_id": 999}, "/items/0/auditorium_id"),
        ({"movie_id": 999}, "/items/0/movie_id"),
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "/items/0/ends_at"),
        ({"sales_open_at": datetime(2090, 1, 1, tzinfo=UTC)}, "/items/0/sales_open_at"),
        ({"sales_stop_at": datetime(2090, 1, 1, tzinfo=UTC)}, "/items/0/sales_stop_at"),
        ({"policy": PolicyOverrides(claim_max_s=1)}, "/items/0/policy/claim_max_s"),
    ],
)
async def test_a_wrong_showtime_is_pointed_at(stage, changes, pointer, pool):
    """A start in the past, a missing price, unknown places and times out of order are refused by name."""
    assert await refusal_of(stage.add(stage.show(**changes))) == pointer
    assert await count(pool, "showtimes") == 0


async def test_prices_of_tiers_that_the_hall_lacks_are_left_out(catalogue, stage):
    """One price list may serve many halls; a showtime keeps what its layout has."""
    (number,) = await stage.add(stage.show(prices={**PRICES, "PREMIUM": 1}))
    assert (await catalogue.showtime(number)).prices == PRICES


async def test_a_bulk_is_all_or_nothing(stage, pool):
    """One showtime that cannot be leaves none of the others, and no act."""
    acts = await count(pool, "acts")
    shows = [stage.show(noon(1) + timedelta(hours=3 * step)) for step in range(5)]
    wrong = stage.show(noon(9), movie_id=999)
    assert await refusal_of(stage.add(*shows, wrong)) == "/items/5/movie_id"
    assert (await count(pool, "showtimes"), await count(pool, "acts")) == (0, acts)


async def test_shows_of_one_bulk_may_touch_but_not_overlap(stage, pool):
    """The next may begin the moment one ends; a minute earlier the hall is busy, and both places are told."""
    await stage.add(stage.show(noon(1)), stage.show(noon(1) + timedelta(hours=2)))
    with pytest.raises(Refusal) as refused:
        await stage.add(stage.show(noon(5)), stage.show(noon(5) + timedelta(minutes=119)))
    assert refused.value.code == "auditorium_busy"
    assert refused.value.details["conflicts"][0]["item"] == 1
    assert await count(pool, "showtimes") == 2


async def test_a_busy_hall_names_what_runs_there(stage):
    """The refusal tells the item and the showtime in its way."""
    (number,) = await stage.add(stage.show())
    with pytest.raises(Refusal) as refused:
        await stage.add(stage.show(noon(4)), stage.show(noon(1) + timedelta(minutes=30)))
    (conflict,) = refused.value.details["conflicts"]
    assert (refused.value.code, conflict["item"], conflict["showtime_id"]) == ("auditorium_busy", 1, number)


async def test_of_two_operators_at_once_one_gets_the_hall(stage, pool):
    """Ten pairs of overlapping inserts at the same instant: each time one is made and one is told `auditorium_busy`."""
    for day in range(1, 11):
        results = await asyncio.gather(
            stage.add(stage.show(noon(day))),
            stage.add(stage.show(noon(day) + timedelta(minutes=90))),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, BaseException)]
        assert [getattr(error, "code", error) for error in refused] == ["auditorium_busy"]
    assert await count(pool, "showtimes") == 10


async def test_who_plans_a_hall_waits_for_who_plans_it_now(stage, pool):
    """A second operator looks for overlaps only when the first is done, and is told which showtime is in the way."""
    (number,) = await stage.add(stage.show(noon(9)))
    async with pool.acquire() as first:
        plan = first.transaction()
        await plan.start()
        # What the desk itself takes; the foreign key of a new showtime would not wait for it.
        await first.execute("SELECT FROM auditoriums WHERE id = $1 FOR NO KEY UPDATE", stage.auditorium)
        second = asyncio.ensure_future(stage.add(stage.show(noon(1))))
        await waiting(pool, 1)
        await first.execute(
            "UPDATE showtimes SET starts_at = $2, ends_at = $3, sales_stop_at = $2 WHERE id = $1",
            number,
            noon(1) + timedelta(minutes=30),
            noon(1) + timedelta(hours=2),
        )
        await plan.commit()
    with pytest.raises(Refusal) as refused:
        await second
    assert refused.value.details["conflicts"][0]["showtime_id"] == number


async def test_the_table_itself_keeps_shows_apart(stage, pool):
    """Without the desk's lock the exclusion constraint still refuses an overlap; a cancelled show does not count."""
    (number,) = await stage.add(stage.show())
    copy = (
        "INSERT INTO showtimes (auditorium_id, movie_id, layout_id, starts_at, ends_at, sales_open_at, sales_stop_at, "
        "prices, currency) SELECT auditorium_id, movie_id, layout_id, starts_at + interval '1 hour', "
        "ends_at + interval '1 hour', sales_open_at, sales_stop_at, prices, currency FROM showtimes WHERE id = $1"
    )
    with pytest.raises(asyncpg.ExclusionViolationError):
        await pool.execute(copy, number)
    await pool.execute("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", number)
    await pool.execute(copy, number)


async def test_a_move_takes_end_and_sales_along(catalogue, stage):
    """A later start moves the end and the stop of sales by as much; the film's length stays."""
    (number,) = await stage.add(stage.show(sales_stop_at=noon(1) - timedelta(hours=1)))
    moved = await catalogue.desk.change_showtime("boss", number, ShowtimeChange(starts_at=noon(2)), anybody)
    showtime = await catalogue.read_showtime(number)
    assert moved
    assert showtime.ends_at == noon(2) + timedelta(hours=2)
    assert showtime.sales_stop_at == noon(2) - timedelta(hours=1)


async def test_a_move_into_another_show_is_refused(catalogue, stage):
    """Moving is checked like making; its own old time is not in its way."""
    first, second = await stage.add(stage.show(noon(1)), stage.show(noon(1) + timedelta(hours=2)))
    change = ShowtimeChange(starts_at=noon(1) + timedelta(minutes=30))
    assert await refusal_of(catalogue.desk.change_showtime("boss", first, change, anybody)) == "auditorium_busy"
    later = ShowtimeChange(starts_at=noon(1) + timedelta(hours=2, minutes=30))
    assert await catalogue.desk.change_showtime("boss", second, later, anybody)


async def book(pool, number, status="PENDING"):
    """Write a booking as a payment intent would."""
    await pool.execute(
        "INSERT INTO bookings (id, showtime_id, subject, status, owner_number, claimed_at, amount_minor, currency, "
        "expires_at) VALUES (gen_random_uuid(), $1, 'u', $2, 1, now(), 1, 'IDR', now() + interval '15 minutes')",
        number,
        status,
    )


async def waiting(pool, sessions):
    """Wait until so many sessions of this database wait for a lock."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    # Not inside a transaction, which would see the same picture for ever.
    async with asyncio.timeout(10):
        while await pool.fetchval(statement) < sessions:
            await asyncio.sleep(0.01)


async def test_what_was_sold_is_not_moved(catalogue, stage, pool):
    """With a booking under way, film and times stay; prices for others may change; an ended booking does not count."""
    (number,) = await stage.add(stage.show())
    await book(pool, number, "EXPIRED")
    await catalogue.desk.change_showtime("boss", number, ShowtimeChange(starts_at=noon(2)), anybody)
    await book(pool, number)
    for change in (ShowtimeChange(starts_at=noon(3)), ShowtimeChange(ends_at=noon(2) + timedelta(hours=3))):
        assert await refusal_of(catalogue.desk.change_showtime("boss", number, change, anybody)) == "has_sales"
    new_prices = {"REGULAR": 1, "VIP": 2}
    assert not await catalogue.desk.change_showtime("boss", number, ShowtimeChange(prices=new_prices), anybody)
    assert (await catalogue.read_showtime(number)).prices == new_prices


async def test_a_booking_cannot_slip_in_while_a_showtime_is_moved(catalogue, stage, pool):
    """A booking's row waits for the move that runs, so that `has_sales` was asked of the whole truth."""
    (number,) = await stage.add(stage.show())
    async with pool.acquire() as watcher:
        held = watcher.transaction()
        await held.start()
        # Somebody has the hall's row, so the move stops after it has asked for sales and before it is done.
        await watcher.execute("SELECT FROM auditoriums WHERE id = $1 FOR UPDATE", stage.auditorium)
        change = ShowtimeChange(starts_at=noon(2))
        move = asyncio.ensure_future(catalogue.desk.change_showtime("boss", number, change, anybody))
        await waiting(pool, 1)
        booking = asyncio.ensure_future(book(pool, number))
        await waiting(pool, 2)
        assert not booking.done()
        await held.rollback()
        assert await move
        await booking


async def test_what_is_over_is_not_changed(catalogue, stage, pool):
    """A cancelled showtime and one that has ended refuse every change."""
    (number,) = await stage.add(stage.show())
    change = ShowtimeChange(prices=PRICES)
    await pool.execute("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", number)
    assert await refusal_of(catalogue.desk.change_showtime("boss", number, change, anybody)) == "showtime_closed"
    assert await refusal_of(catalogue.desk.change_showtime("boss", 999, change, anybody)) == "not_found"
    assert await refusal_of(catalogue.desk.set_status("boss", number, "OPEN", "")) == "showtime_closed"
