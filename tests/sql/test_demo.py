"""The demo catalogue: big enough, sensible in every time zone, and loaded once however often it is run."""

from collections import Counter
from dataclasses import replace
from datetime import date, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.demo import BLOCKBUSTER, seed_demo, seed_onsale
from engine.catalogue.demo_halls import demo_layout
from engine.settings import Settings

TODAY = date(2026, 3, 2)


def silent(what, done, total):
    """Show no progress."""


@pytest.mark.covers("004.39")
async def test_the_demo_is_a_national_chain(pool):
    """Cities in three time zones, cinemas, halls of eight layouts and a stadium, films with a text, a full week."""
    steps = []
    seeded = await seed_demo(pool, TODAY, lambda what, done, total: steps.append((what, done, total)))
    assert seeded.cities >= 8
    assert seeded.cinemas >= 24
    assert seeded.auditoriums >= 120
    assert seeded.movies == 30
    assert seeded.showtimes > 3000
    assert {what for what, done, total in steps if done == total} == {"layouts", "cinemas", "showtimes"}
    zones = {row["timezone"] for row in await pool.fetch("SELECT DISTINCT timezone FROM cinemas")}
    assert zones == {"Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura"}
    sizes = [row["seat_count"] for row in await pool.fetch("SELECT seat_count FROM layouts ORDER BY seat_count")]
    assert (len(sizes), sizes[0], sizes[-2], sizes[-1]) == (9, 40, 420, 20_000)
    assert await pool.fetchval("SELECT count(*) FROM movies WHERE synopsis = '' OR genres = '{}'") == 0
    assert await pool.fetchval("SELECT count(*) FROM layouts WHERE name = 'Teater Kencana'") == 1


async def test_the_demo_runs_at_sensible_hours_and_prices(pool):
    """Every hall plays each of seven local days, between late morning and midnight; VIP and weekends cost more."""
    await seed_demo(pool, TODAY, silent)
    days, prices = Counter(), {}
    rows = await pool.fetch("SELECT * FROM programme")
    for row in rows:
        local = row["starts_at"].astimezone(ZoneInfo(row["timezone"]))
        assert time(10, 30) <= local.time() <= time(22, 15)
        assert local.minute % 5 == 0
        assert row["sales_open_at"].date() < TODAY
        days[local.date()] += 1
        prices.setdefault(row["auditorium_id"], {})[local.weekday()] = row["prices"]
    assert sorted(days) == [TODAY + timedelta(days=ahead) for ahead in range(7)]
    for by_day in prices.values():
        assert len(by_day) == 7
        for tiers in by_day.values():
            amounts = [tiers[tier] for tier in ("REGULAR", "PREMIUM", "VIP") if tier in tiers]
            assert amounts == sorted(set(amounts))
            assert all(amount % 100_000 == 0 for amount in amounts)
        dearest = max(by_day[0], key=by_day[0].get)
        assert by_day[5][dearest] > by_day[0][dearest]


async def test_a_second_run_adds_nothing_and_a_later_day_adds_the_new_days(pool):
    """The demo is idempotent, and rolls on with the calendar."""
    await seed_demo(pool, TODAY, silent)
    assert set(await seed_demo(pool, TODAY, silent)) == {0}
    later = await seed_demo(pool, TODAY + timedelta(days=2), silent)
    assert later[:4] == (0, 0, 0, 0)
    days = await pool.fetch(
        "SELECT DISTINCT (starts_at AT TIME ZONE timezone)::date AS day FROM programme ORDER BY day"
    )
    assert [row["day"] for row in days] == [TODAY + timedelta(days=ahead) for ahead in range(9)]


async def test_what_an_operator_cancelled_stays_cancelled(pool):
    """A showtime of the demo that was cancelled is not made anew by the next run."""
    await seed_demo(pool, TODAY, silent)
    await pool.execute("UPDATE showtimes SET status = 'CANCELLED' WHERE id <= 10")
    assert (await seed_demo(pool, TODAY, silent)).showtimes == 0


async def test_the_opening_night_is_everywhere_at_once(pool):
    """One film, one evening, every hall and the stadium, on sale from the start; with or without the demo's week."""
    seeded = await seed_onsale(pool, TODAY, silent)
    halls = await pool.fetchval("SELECT count(*) FROM auditoriums")
    assert seeded.showtimes == 2 * (halls - 1) + 1
    rows = await pool.fetch("SELECT * FROM programme")
    assert {row["movie"] for row in rows} == {BLOCKBUSTER.title}
    local_days = {row["starts_at"].astimezone(ZoneInfo(row["timezone"])).date() for row in rows}
    assert local_days == {TODAY + timedelta(days=7)}
    assert max(row["seat_count"] for row in rows) == 20_000
    assert all(row["sales_open_at"].date() < TODAY for row in rows)
    assert set(await seed_onsale(pool, TODAY, silent)) == {0}
    assert (await seed_demo(pool, TODAY + timedelta(days=3), silent)).showtimes > 3000


async def test_the_stadium_survives_the_ledger(pool):
    """Twenty thousand seats in forty zones are stored and read back the same."""
    await seed_demo(pool, TODAY, silent)
    layout_id = await pool.fetchval("SELECT id FROM layouts WHERE seat_count = 20000")
    layout = await Catalogue(pool, Settings()).layout(layout_id)
    assert layout == replace(demo_layout("stadion"), version=layout_id)
    assert (len(layout.zones), layout.tiers) == (40, ("REGULAR", "PREMIUM", "VIP"))
