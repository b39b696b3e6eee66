"""The demo catalogue: a made-up Indonesian chain with the coming week's programme, made relative to today.

A day's programme follows from the cinema, the hall and the day alone, so that a second run adds nothing and a run on
a later day adds the new days.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from engine.catalogue.demo_halls import DATA, demo_layout
from engine.catalogue.desk import slug_of, store_layout
from engine.catalogue.layouts import Tier
from engine.catalogue.records import NewMovie
from engine.ledger.database import transaction
from engine.ledger.queries import query

Progress = Callable[[str, int, int], None]
"""Told what is being loaded, how many are done, and how many there will be."""

DAYS = 7
ROWS_PER_STATEMENT = 500
CURRENCY = "IDR"
STADIUM = "stadion"
_FIRST_SHOW, _LAST_SHOW = time(10, 30), time(22, 15)
_STADIUM_SHOW = time(19, 30)
_PREMIERE_SHOWS = (time(18, 30), time(21, 30))
_CLEANING = timedelta(minutes=20)
_ON_SALE_BEFORE = timedelta(days=DAYS + 1)

_TIER_SURCHARGE_MINOR: Mapping[Tier, int] = {"REGULAR": 0, "PREMIUM": 2_500_000, "VIP": 7_500_000}
_HALL_SURCHARGE_MINOR = {"raya": 2_500_000, "utama": 1_000_000, "kencana": 1_500_000, STADIUM: 10_000_000}
_WEEKDAY_SURCHARGE_MINOR = (0, 0, 0, 0, 1_000_000, 1_500_000, 1_500_000)

BLOCKBUSTER = NewMovie(
    title="Satria Nusantara: Fajar Terakhir",
    duration_minutes=158,
    synopsis="Para penjaga kepulauan berkumpul untuk terakhir kali sebelum matahari terbit di timur.",
    rating="13+",
    genres=("Laga", "Fantasi"),
)


class DemoCinema(msgspec.Struct, frozen=True):
    """One cinema of `data/chain.json`; `halls` are kinds of halls, one for each auditorium."""

    name: str
    address: str
    halls: tuple[str, ...]


class DemoCity(msgspec.Struct, frozen=True):
    """One city of `data/chain.json` with the REGULAR price on a weekday in minor units."""

    city: str
    timezone: str
    price_minor: int
    cinemas: tuple[DemoCinema, ...]


class Hall(NamedTuple):
    """One auditorium of the chain."""

    city: DemoCity
    cinema: str
    number: int
    kind: str

    @property
    def name(self) -> str:
        """What stands over the door."""
        return "Stadion" if self.kind == STADIUM else f"Studio {self.number}"

    def at(self, day: date, hour: time) -> datetime:
        """Give the moment of a local time."""
        return datetime.combine(day, hour, ZoneInfo(self.city.timezone)).astimezone(UTC)

    def prices(self, day: date) -> dict[str, int]:
        """Give the price of each tier on a day, in minor units."""
        base = self.city.price_minor + _HALL_SURCHARGE_MINOR.get(self.kind, 0) + _WEEKDAY_SURCHARGE_MINOR[day.weekday()]
        return {tier: base + _TIER_SURCHARGE_MINOR[tier] for tier in demo_layout(self.kind).tiers}


class Show(NamedTuple):
    """One showtime to load."""

    hall: Hall
    movie: str
    starts_at: datetime
    ends_at: datetime
    sales_open_at: datetime
    prices: dict[str, int]


class Seeded(NamedTuple):
    """How many rows a run added."""

    cities: int = 0
    cinemas: int = 0
    auditoriums: int = 0
    movies: int = 0
    showtimes: int = 0


async def seed_demo(pool: asyncpg.Pool, today: date, progress: Progress) -> Seeded:
    """Load the chain and the programme of `DAYS` local days from today on, in every time zone; seconds.

    Raises:
        Unavailable: `ledger_unavailable`; what was loaded stays, and a second run goes on.
    """
    films = _films()
    added = await _seed_chain(pool, films, progress)
    days = [today + timedelta(days=ahead) for ahead in range(DAYS)]
    shows = [show for hall in _halls() for day in days for show in _programme(hall, day, films)]
    return added._replace(showtimes=await _seed_showtimes(pool, shows, progress))


async def seed_onsale(pool: asyncpg.Pool, today: date, progress: Progress) -> Seeded:
    """Load one blockbuster's opening: every hall of the chain, twice, and the stadium, on the evening in a week.

    Sales are open at once. The evening lies behind the demo's days; a demo that is loaded later plans around it.

    Raises:
        Unavailable: `ledger_unavailable`.
    """
    added = await _seed_chain(pool, (*_films(), BLOCKBUSTER), progress)
    day = today + timedelta(days=DAYS)
    length = timedelta(minutes=BLOCKBUSTER.duration_minutes)
    opened = datetime.combine(today, time(), UTC) - timedelta(days=1)
    shows = [
        Show(hall, slug_of(BLOCKBUSTER.title), starts_at, starts_at + length, opened, hall.prices(day))
        for hall in _halls()
        for hour in ((_STADIUM_SHOW,) if hall.kind == STADIUM else _PREMIERE_SHOWS)
        if (starts_at := hall.at(day, hour))
    ]
    return added._replace(showtimes=await _seed_showtimes(pool, shows, progress))


@cache
def _films() -> tuple[NewMovie, ...]:
    return msgspec.json.decode((DATA / "films.json").read_bytes(), type=tuple[NewMovie, ...])


@cache
def _chain() -> tuple[DemoCity, ...]:
    return msgspec.json.decode((DATA / "chain.json").read_bytes(), type=tuple[DemoCity, ...])


def _halls() -> list[Hall]:
    return [
        Hall(city, slug_of(cinema.name), number, kind)
        for city in _chain()
        for cinema in city.cinemas
        for number, kind in enumerate(cinema.halls, start=1)
    ]


def _programme(hall: Hall, day: date, films: Sequence[NewMovie]) -> Iterator[Show]:
    """Give the shows of one hall on one local day, from late morning until the last one that begins in time."""
    chance = random.Random(f"{hall.cinema}/{hall.number}/{day.isoformat()}")  # noqa: S311 (a timetable is no secret)
    # Half of the films run in a cinema in a week; a hall shows two or three of them a day.
    week = random.Random(f"{hall.cinema}/{day.toordinal() // 7}").sample(range(len(films)), len(films) // 2)  # noqa: S311
    bill = chance.sample(week, 3)
    starts_at = hall.at(day, _FIRST_SHOW) + timedelta(minutes=5 * chance.randrange(0, 18))
    last = hall.at(day, _LAST_SHOW)
    if hall.kind == STADIUM:
        starts_at = last = hall.at(day, _STADIUM_SHOW)
    opened = hall.at(day, time(9)) - _ON_SALE_BEFORE
    prices = hall.prices(day)
    turn = 0
    while starts_at <= last:
        film = films[bill[turn % len(bill)]]
        ends_at = starts_at + timedelta(minutes=film.duration_minutes)
        yield Show(hall, slug_of(film.title), starts_at, ends_at, opened, prices)
        starts_at = _next_five_minutes(ends_at + _CLEANING)
        turn += 1


def _next_five_minutes(moment: datetime) -> datetime:
    return moment + timedelta(minutes=-moment.minute % 5)


async def _seed_chain(pool: asyncpg.Pool, films: Sequence[NewMovie], progress: Progress) -> Seeded:
    """Load everything but the showtimes; what is there already, by slug, stays as it is."""
    chain, halls = _chain(), _halls()
    cinemas = [(city, cinema) for city in chain for cinema in city.cinemas]
    kinds = sorted({hall.kind for hall in halls})
    layouts: dict[str, int] = {}
    for done, kind in enumerate(kinds):
        progress("layouts", done, len(kinds))
        async with transaction(pool) as connection:
            layouts[kind] = await store_layout(connection, demo_layout(kind))
    progress("layouts", len(kinds), len(kinds))
    async with transaction(pool) as connection:
        added = Seeded(
            cities=await _insert(
                connection,
                "seed_cities",
                [(slug_of(city.city), city.city, city.timezone) for city in chain],
            ),
            cinemas=await _insert(
                connection,
                "seed_cinemas",
                [
                    (slug_of(city.city), slug_of(cinema.name), cinema.name, cinema.address, city.timezone)
                    for city, cinema in cinemas
                ],
            ),
            auditoriums=await _insert(
                connection, "seed_auditoriums", [(hall.cinema, hall.name, layouts[hall.kind]) for hall in halls]
            ),
            movies=await _insert(
                connection,
                "seed_movies",
                [
                    (
                        slug_of(film.title),
                        film.title,
                        film.synopsis,
                        film.duration_minutes,
                        film.rating,
                        "|".join(film.genres),
                    )
                    for film in films
                ],
            ),
        )
    progress("cinemas", len(cinemas), len(cinemas))
    return added


async def _seed_showtimes(pool: asyncpg.Pool, shows: Sequence[Show], progress: Progress) -> int:
    added = 0
    for first in range(0, len(shows), ROWS_PER_STATEMENT):
        progress("showtimes", first, len(shows))
        rows = [
            (s.hall.cinema, s.hall.name, s.movie, s.starts_at, s.ends_at, s.sales_open_at, s.prices, CURRENCY)
            for s in shows[first : first + ROWS_PER_STATEMENT]
        ]
        async with transaction(pool) as connection:
            added += await _insert(connection, "seed_showtimes", rows)
    progress("showtimes", len(shows), len(shows))
    return added


async def _insert(connection: Any, name: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a statement that takes one array per column; gives how many rows it added."""
    done: str = await connection.execute(query(name), *(list(column) for column in zip(*rows, strict=True)))
    return int(done.rpartition(" ")[2])
