"""The catalogue as it is read from a real PostgreSQL: lists, pages, local days, layouts, policies."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.catalogue.policies import PolicyOverrides
from engine.catalogue.records import (
    CinemaChange,
)
from tests.sql.stage import build, noon, refusal_of


@pytest.mark.covers("001.3", "001.4", "001.5", "004.40")
async def test_a_customer_finds_city_cinema_film_and_time(catalogue, stage):
    """From the list of cities to one showtime, each step by what the step before gave."""
    (number,) = await stage.add(stage.show())
    (city,), _ = await catalogue.list_cities(limit=10)
    (cinema,), _ = await catalogue.list_cinemas(city.slug, limit=10)
    day = noon(1).astimezone(ZoneInfo(city.timezone)).date()
    (movie,), _ = await catalogue.list_movies_showing(city.slug, day, limit=10)
    (found,), _ = await catalogue.list_showtimes(city=city.slug, cinema=cinema.slug, movie=movie.slug, day=day, limit=9)
    assert (found.id, found.cinema, found.movie, found.seat_count) == (number, "Menteng", "Laut Menteng", 6)
    assert found == await catalogue.showtime(number)


@pytest.mark.covers("001.5")
@pytest.mark.parametrize(("timezone", "offset"), [("Asia/Jakarta", 7), ("Asia/Makassar", 8), ("Asia/Jayapura", 9)])
async def test_a_day_is_the_cinemas_own(catalogue, timezone, offset):
    """A show one minute before local midnight belongs to that day, one at midnight to the next, in WIB, WITA, WIT."""
    stage = await build(catalogue, timezone=timezone)
    day = noon(3).date()
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=24 - offset)
    last, first = await stage.add(stage.show(midnight - timedelta(minutes=1), ends_at=midnight), stage.show(midnight))
    for local_day, number in ((day, last), (day + timedelta(days=1), first)):
        showtimes, _ = await catalogue.list_showtimes(day=local_day, limit=10)
        assert [showtime.id for showtime in showtimes] == [number]
        movies, _ = await catalogue.list_movies_showing("jakarta", local_day, limit=10)
        assert [movie.showtimes for movie in movies] == [1]


async def test_pages_join_without_gap_or_repeat(catalogue, stage):
    """Walking by cursor gives each showtime once, in order of start."""
    shows = [stage.show(noon(1) + timedelta(hours=3 * step)) for step in range(7)]
    numbers = await stage.add(*shows)
    seen, after = [], None
    while True:
        page, after = await catalogue.list_showtimes(limit=3, after=after)
        seen += [showtime.id for showtime in page]
        if after is None:
            break
    assert seen == numbers


async def test_a_list_without_a_day_leaves_out_what_has_ended(catalogue, stage, pool):
    """Yesterday's show is only in yesterday's list; a cancelled one is shown as such and its film is not listed."""
    past, coming = await stage.add(stage.show(noon(1)), stage.show(noon(2)))
    await pool.execute(
        "UPDATE showtimes SET starts_at = starts_at - interval '3 days', ends_at = ends_at - interval '3 days', "
        "sales_open_at = '2000-01-01', sales_stop_at = '2000-01-02' WHERE id = $1",
        past,
    )
    showtimes, _ = await catalogue.list_showtimes(limit=10)
    assert [showtime.id for showtime in showtimes] == [coming]
    await pool.execute("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", coming)
    assert (await catalogue.list_movies_showing(limit=10))[0] == []


async def test_a_list_without_a_day_leaves_out_what_nobody_can_buy_any_more(catalogue, stage, pool):
    """A show that sells no more is in its day's list and the operators'; one that still sells is in all."""
    begun, selling, coming = await stage.add(*(stage.show(noon(day)) for day in (1, 2, 3)))
    moved = "UPDATE showtimes SET starts_at = $2, ends_at = $3, sales_stop_at = $4, sales_open_at = $5 WHERE id = $1"
    now, hour = datetime.now(UTC), timedelta(hours=1)
    await pool.execute(moved, begun, now - 2 * hour, now + hour, now - 2 * hour, now - 9 * hour)
    await pool.execute(moved, selling, now + hour, now + 3 * hour, now + 2 * hour, now - 9 * hour)

    async def listed(**asked) -> list[int]:
        showtimes, _ = await catalogue.list_showtimes(limit=10, **asked)
        return [showtime.id for showtime in showtimes]

    assert await listed() == [selling, coming]
    assert await listed(running=True) == [begun, selling, coming]
    day = (now - 2 * hour).astimezone(ZoneInfo("Asia/Jakarta")).date()
    assert begun in await listed(day=day)


async def test_a_made_up_cursor_or_filter_finds_nothing(catalogue, stage):
    """Times beyond the calendar, unknown slugs and other cinemas' ids give empty lists, not failures."""
    await stage.add(stage.show())
    assert await catalogue.list_showtimes(limit=5, after=(2**53, 1)) == ([], None)
    assert await catalogue.list_showtimes(city="atlantis", limit=5) == ([], None)
    assert await catalogue.list_showtimes(of=[], limit=5) == ([], None)
    assert await catalogue.list_showtimes(day=date(2000, 1, 1), limit=5) == ([], None)


@pytest.mark.covers("004.26")
async def test_a_layout_is_read_back_as_it_was_made(catalogue, stage):
    """The auditorium's layout has its seats, gaps and tiers under one id."""
    auditorium = await catalogue.read_auditorium(stage.auditorium)
    layout = await catalogue.layout(auditorium.layout_id)
    assert layout.version == auditorium.layout_id
    assert [seat.seat for seat in layout.seats] == ["A1", "A2", "A3", "A4", "B1", "B2"]
    assert auditorium.tiers == ("REGULAR", "VIP")
    assert await refusal_of(catalogue.layout(999)) == "not_found"
    assert await refusal_of(catalogue.showtime(999)) == "not_found"


async def test_policies_merge_from_settings_over_cinema_to_showtime(catalogue, stage):
    """The nearest number wins; keys of a showtime outlive its end by a day."""
    await catalogue.desk.change_cinema(
        "boss", stage.cinema, CinemaChange(policy=PolicyOverrides(hold_ttl_s=300, seats_per_hold_max=6))
    )
    (number,) = await stage.add(stage.show(policy=PolicyOverrides(seats_per_hold_max=4)))
    showtime = await catalogue.showtime(number)
    policy = catalogue.policy(showtime)
    assert (policy.hold_ttl_ms, policy.seats_per_hold_max, policy.holds_per_customer_max) == (300_000, 4, 2)
    assert policy.sales_stop_ms == showtime.starts_ms
    assert policy.keys_until_ms - policy.ends_ms == 24 * 3_600_000
