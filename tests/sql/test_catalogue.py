"""The catalogue on a real PostgreSQL: lists, local days, operator writes, and the races among operators."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.policies import PolicyOverrides
from engine.catalogue.records import (
    AuditoriumChange,
    CinemaChange,
    DrawnLayout,
    MovieChange,
    NewAuditorium,
    NewCinema,
    NewMovie,
    NewShowtime,
    ShowtimeChange,
)
from engine.errors import InvalidInput, Refusal
from engine.ledger.database import open_pool
from engine.seats.records import Request
from engine.settings import Settings

PRICES = {"REGULAR": 5_000_000, "VIP": 9_000_000}
HALL = DrawnLayout(name="Hall", lines=("A RRRR", "B VV__"))


def anybody(cinema):
    """Permit every cinema."""


@pytest.fixture
async def pool(database_url):
    """A pool on an empty, migrated database."""
    pool = await open_pool(Settings(database_url=database_url))
    yield pool
    await pool.close()


@pytest.fixture
def catalogue(pool):
    """The catalogue of that database."""
    return Catalogue(pool, Settings())


class Stage:
    """A cinema in Jakarta with one hall and one film of two hours."""

    def __init__(self, catalogue, cinema, auditorium, movie):
        self.catalogue, self.cinema, self.auditorium, self.movie = catalogue, cinema, auditorium, movie

    def show(self, starts_at=None, **changes):
        """Make a showtime to create: tomorrow at noon UTC."""
        starts_at = starts_at or noon(1)
        fields = {"auditorium_id": self.auditorium, "movie_id": self.movie, "prices": PRICES, **changes}
        return NewShowtime(starts_at=starts_at, **fields)

    async def add(self, *shows):
        """Create showtimes; gives their numbers."""
        numbers, _ = await self.catalogue.desk.create_showtimes("boss", shows, anybody)
        return numbers


def noon(days):
    """Give noon UTC some days from now."""
    return (datetime.now(UTC) + timedelta(days=days)).replace(hour=12, minute=0, second=0, microsecond=0)


async def build(catalogue, city="Jakarta", timezone="Asia/Jakarta", name="Menteng"):
    """Make a stage."""
    desk = catalogue.desk
    cinema, _ = await desk.create_cinema("boss", NewCinema(name=name, city=city, timezone=timezone))
    new = NewAuditorium(cinema_id=cinema, name="Studio 1", floor_plan=HALL)
    auditorium, _ = await desk.create_auditorium("boss", new, anybody)
    movie, _ = await desk.create_movie("boss", NewMovie(title=f"Laut {name}", duration_minutes=120))
    return Stage(catalogue, cinema, auditorium, movie)


@pytest.fixture
async def stage(catalogue):
    """A stage in Jakarta."""
    return await build(catalogue)


async def refusal_of(call):
    """Give the code of the refusal that a call ends with."""
    with pytest.raises((Refusal, InvalidInput)) as refused:
        await call
    error = refused.value
    return error.details["errors"][0]["pointer"] if isinstance(error, InvalidInput) else error.code


async def count(pool, table):
    """Count the rows of a table."""
    return await pool.fetchval(f"SELECT count(*) FROM {table}")


# --- Reading


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


# --- Operator writes


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


async def test_a_foreign_cinema_is_refused_before_anything_is_said(catalogue, stage, pool):
    """Who may not run the cinema changes nothing there."""

    def nobody(cinema):
        raise Refusal("forbidden")

    (number,) = await stage.add(stage.show())
    desk = catalogue.desk
    new = NewAuditorium(cinema_id=stage.cinema, name="Studio 2", floor_plan=HALL)
    rename = AuditoriumChange(name="X")
    change = ShowtimeChange(starts_at=noon(2))
    assert await refusal_of(desk.create_auditorium("eve", new, nobody)) == "forbidden"
    assert await refusal_of(desk.change_auditorium("eve", stage.auditorium, rename, nobody)) == "forbidden"
    assert await refusal_of(desk.create_showtimes("eve", [stage.show(noon(2))], nobody)) == "forbidden"
    assert await refusal_of(desk.change_showtime("eve", number, change, nobody)) == "forbidden"
    assert (await count(pool, "auditoriums"), await count(pool, "showtimes")) == (1, 1)


async def test_a_new_layout_leaves_old_showtimes_alone(catalogue, stage):
    """Showtimes keep the seats that they were made with; new ones get the new seats."""
    (old,) = await stage.add(stage.show(noon(1)))
    change = AuditoriumChange(floor_plan=DrawnLayout(name="Hall", lines=("A RR",)))
    await catalogue.desk.change_auditorium("boss", stage.auditorium, change, anybody)
    (new,) = await stage.add(stage.show(noon(2)))
    assert [(await catalogue.showtime(number)).seat_count for number in (old, new)] == [6, 2]


async def test_equal_layouts_are_stored_once(catalogue, stage, pool):
    """Two halls of the same drawing share a layout."""
    new = NewAuditorium(cinema_id=stage.cinema, name="Studio 2", floor_plan=HALL)
    await catalogue.desk.create_auditorium("boss", new, anybody)
    assert await count(pool, "layouts") == 1


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        ({}, ""),
        ({"layout_id": 1, "floor_plan": HALL}, ""),
        ({"layout_id": 999}, "/layout_id"),
        ({"floor_plan": HALL, "tiers": {"A": "VIP"}}, "/tiers"),
        ({"floor_plan": DrawnLayout(name="H", lines=("A X",))}, "/floor_plan/lines/0"),
        ({"seating_plan": {"name": "H"}}, "/seating_plan/categories"),
    ],
)
async def test_an_auditorium_has_one_source_of_seats(catalogue, stage, source, pointer):
    """None, two, or a wrong one is refused with a pointer into the request."""
    new = NewAuditorium(cinema_id=stage.cinema, name="Studio 2", **source)
    assert await refusal_of(catalogue.desk.create_auditorium("boss", new, anybody)) == pointer


async def test_names_are_taken_once(catalogue, stage):
    """A second cinema, hall or film of the same name is refused."""
    desk = catalogue.desk
    assert await refusal_of(desk.create_cinema("boss", NewCinema(name="MENTENG!", city="Jakarta"))) == "name_taken"
    same = NewAuditorium(cinema_id=stage.cinema, name="Studio 1", floor_plan=HALL)
    assert await refusal_of(desk.create_auditorium("boss", same, anybody)) == "name_taken"
    film = NewMovie(title="Laut Menteng", duration_minutes=1)
    assert await refusal_of(desk.create_movie("boss", film)) == "name_taken"


@pytest.mark.parametrize(
    ("new", "pointer"),
    [
        (NewCinema(name="Braga", city="Bandung"), "/timezone"),
        (NewCinema(name="Braga", city="Bandung", timezone="Asia/Bandung"), "/timezone"),
        (NewCinema(name="!!!", city="Jakarta"), "/name"),
        (NewCinema(name="Braga", city="?", timezone="Asia/Jakarta"), "/city"),
    ],
)
async def test_a_wrong_cinema_is_pointed_at(catalogue, stage, new, pointer):
    """A new city needs a time zone that exists, and names need a letter."""
    assert await refusal_of(catalogue.desk.create_cinema("boss", new)) == pointer


async def test_every_write_leaves_its_act(catalogue, stage, pool):
    """Who did what to what is written down with the change."""
    (number,) = await stage.add(stage.show())
    desk = catalogue.desk
    await desk.change_movie("boss", stage.movie, MovieChange(synopsis="x"))
    await desk.change_cinema("boss", stage.cinema, CinemaChange(address="y"))
    await desk.set_status("boss", number, "FROZEN", "leak in the roof")
    rows = await pool.fetch("SELECT actor, verb, subject, reason FROM acts ORDER BY id")
    assert [tuple(row)[:3] for row in rows] == [
        ("boss", "create_cinema", f"cinema:{stage.cinema}"),
        ("boss", "create_auditorium", f"auditorium:{stage.auditorium}"),
        ("boss", "create_movie", f"movie:{stage.movie}"),
        ("boss", "create_showtimes", f"showtime:{number}"),
        ("boss", "change_movie", f"movie:{stage.movie}"),
        ("boss", "change_cinema", f"cinema:{stage.cinema}"),
        ("boss", "freeze_showtime", f"showtime:{number}"),
    ]
    assert rows[-1]["reason"] == "leak in the roof"


async def test_a_chain_is_frozen_and_opened_again(catalogue, stage, pool):
    """All showtimes to come of one cinema, again on a repeat; one that waits to be built again stays frozen."""
    other = await build(catalogue, name="Braga", city="Bandung")
    one, two = await stage.add(stage.show(noon(1)), stage.show(noon(2)))
    (third,) = await other.add(other.show(noon(1)))
    desk = catalogue.desk
    assert await desk.freeze_showtimes("boss", stage.cinema, "flood") == [one, two]
    assert await desk.freeze_showtimes("boss", stage.cinema, "flood") == [one, two]
    assert (await catalogue.read_showtime(third)).status == "OPEN"
    assert await desk.freeze_showtimes("boss", None, "flood") == [one, two, third]
    await pool.execute("INSERT INTO rebuilds (showtime_id, reason, automatic) VALUES ($1, 'x', true)", two)
    assert await desk.unfreeze_showtimes("boss", None, "dry") == [one, third]
    assert await refusal_of_unavailable(desk.set_status("boss", two, "OPEN", "")) == "showtime_frozen"


async def refusal_of_unavailable(call):
    """Give the code of the failure that a call ends with."""
    with pytest.raises(Exception) as failed:
        await call
    return failed.value.code


# --- Repeats


async def test_a_repeat_makes_nothing_more(catalogue, stage, pool):
    """The same key gives the same showtimes, also when both arrive at once; another body is refused."""
    request, other = Request("key", "print"), Request("key", "other")
    make = catalogue.desk.create_showtimes
    (first, _), (second, _) = await asyncio.gather(
        make("boss", [stage.show()], anybody, request), make("boss", [stage.show()], anybody, request)
    )
    third, replayed = await make("boss", [stage.show()], anybody, request)
    assert first == second == third
    assert replayed
    assert await count(pool, "showtimes") == 1
    assert await refusal_of(make("boss", [stage.show(noon(3))], anybody, other)) == "idempotency_key_reused"


async def test_a_refused_request_leaves_its_key_free(catalogue, stage):
    """Only successes are kept: the corrected request may use the key again."""
    make, request = catalogue.desk.create_showtimes, Request("key", "print")
    assert await refusal_of(make("boss", [stage.show(movie_id=999)], anybody, request)) == "/items/0/movie_id"
    _, replayed = await make("boss", [stage.show()], anybody, Request("key", "better"))
    assert not replayed


async def test_a_key_is_forgotten_after_a_day(catalogue, stage, pool):
    """Old requests go as new ones come."""
    await catalogue.desk.create_movie("boss", NewMovie(title="Satu", duration_minutes=90), Request("old", "p"))
    await pool.execute("UPDATE operator_requests SET made_at = made_at - interval '25 hours'")
    await catalogue.desk.create_movie("boss", NewMovie(title="Dua", duration_minutes=90), Request("new", "p"))
    assert await pool.fetchval("SELECT array_agg(id) FROM operator_requests") == ["new"]
