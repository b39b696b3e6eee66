"""A cinema with a hall and a film, for tests of the catalogue on a real PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.catalogue.records import DrawnLayout, NewAuditorium, NewCinema, NewMovie, NewShowtime
from engine.errors import InvalidInput, SeatlockError

PRICES = {"REGULAR": 5_000_000, "VIP": 9_000_000}
HALL = DrawnLayout(name="Hall", lines=("A RRRR", "B VV__"))


def anybody(cinema):
    """Permit every cinema."""


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


async def refusal_of(call):
    """Give how a call fails: the pointer of invalid input, else the code."""
    with pytest.raises(SeatlockError) as refused:
        await call
    error = refused.value
    return error.details["errors"][0]["pointer"] if isinstance(error, InvalidInput) else error.code


async def count(pool, table):
    """Count the rows of a table."""
    return await pool.fetchval(f"SELECT count(*) FROM {table}")
