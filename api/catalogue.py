"""The catalogue over HTTP, for everybody: cities, cinemas, movies, showtimes, layouts."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.openapi.describe import PAGE, describe
from api.seat_labels import read_hall
from api.wire import (
    Page,
    Timestamp,
    answer,
    cursor_of,
    invalid_parameter,
    not_modified,
    now_ms,
    page,
    page_cursor,
    page_limit,
    query_text,
    rfc3339,
    rfc3339_of,
    row_number,
    showtime_number,
    tag_matches,
)
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.layouts import Layout, LayoutAnswer
from engine.catalogue.records import Cinema, City, Movie, Showtime
from engine.runtime import Runtime
from engine.seats.records import ShowtimeStatus


class NamePosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list by name goes on; what a client makes up must still be something that PostgreSQL can compare."""

    name: Annotated[str, Meta(pattern=r"^[^\x00]*$")]
    id: Annotated[int, Meta(ge=0, lt=2**31)]


class TimePosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list by time goes on: Unix ms and a showtime's number."""

    at_ms: Annotated[int, Meta(ge=0, lt=2**53)]
    id: Annotated[int, Meta(ge=0, lt=2**53)]


class CinemaAnswer(msgspec.Struct):
    """A cinema as everybody may see it."""

    id: int
    slug: str
    name: str
    address: str
    city: str
    city_slug: str
    timezone: str
    auditoriums: int


class ShowtimeCinema(msgspec.Struct):
    """Where a showtime is."""

    id: int
    slug: str
    name: str


class ShowtimeAuditorium(msgspec.Struct):
    """In which auditorium a showtime is."""

    id: int
    name: str


class ShowtimeMovie(msgspec.Struct):
    """What a showtime shows."""

    id: int
    slug: str
    title: str
    rating: str
    duration_minutes: int


class ShowtimeAnswer(msgspec.Struct, kw_only=True):
    """A showtime as everybody may see it; prices by tier, in minor units of `currency`.

    `seats_available` is null while the seats cannot be counted; `layout_version` is that of its layout.
    """

    id: int
    status: ShowtimeStatus
    starts_at: Timestamp
    ends_at: Timestamp
    sales_open_at: Timestamp
    sales_stop_at: Timestamp
    timezone: str
    city: str
    cinema: ShowtimeCinema
    auditorium: ShowtimeAuditorium
    movie: ShowtimeMovie
    layout_version: int
    seats: int
    seats_available: int | None
    prices: dict[str, int]
    lowest_price: int
    currency: str
    server_time: Timestamp | msgspec.UnsetType = msgspec.UNSET


class ShowtimePage(Page[ShowtimeAnswer]):
    """A page of showtimes, and the server's clock."""

    server_time: Timestamp


_DAY = re.compile(r"20\d\d-\d\d-\d\d")

SHORTLY = {"Cache-Control": "public, max-age=5"}
FOR_EVER = {"Cache-Control": "public, max-age=86400, immutable"}


@describe({200: Page[City]}, query=PAGE)
async def list_cities(request: Request) -> Response:
    """List the cities that have cinemas, by name."""
    cities, position = await _catalogue(request).list_cities(limit=page_limit(request), after=after_name(request))
    return answer(page(cities, position), headers=SHORTLY)


@describe({200: Page[CinemaAnswer]}, query=("city", *PAGE))
async def list_cinemas(request: Request) -> Response:
    """List cinemas by name, of one city (`?city=` its slug) or of all."""
    cinemas, position = await _catalogue(request).list_cinemas(
        query_text(request, "city"), limit=page_limit(request), after=after_name(request)
    )
    return answer(page([cinema_json(cinema) for cinema in cinemas], position), headers=SHORTLY)


@describe({200: Page[Movie]}, query=("city", "date", *PAGE))
async def list_movies(request: Request) -> Response:
    """List the movies that can still be seen, by title: in a city, on a day (`?date=`, the cinema's local day)."""
    movies, position = await _catalogue(request).list_movies_showing(
        query_text(request, "city"),
        query_day(request),
        limit=page_limit(request),
        after=after_name(request),
    )
    return answer(page(movies, position), headers=SHORTLY)


@describe({200: ShowtimePage}, query=("city", "cinema", "movie", "date", *PAGE))
async def list_showtimes(request: Request) -> Response:
    """List showtimes by start: `?city=&cinema=&movie=&date=`; without a day those that are or will be on sale."""
    runtime: Runtime = request.app.state.runtime
    showtimes, position = await find_showtimes(request)
    left = await runtime.catalogue.seats_left(showtimes, runtime.seats.peek_seats)
    at_ms = now_ms()
    items = [showtime_json(showtime, left[showtime.id], at_ms) for showtime in showtimes]
    return answer(ShowtimePage(items, cursor_of(position), rfc3339(at_ms)), headers=SHORTLY)


@describe({200: ShowtimeAnswer})
async def read_showtime(request: Request) -> Response:
    """Give one showtime with its place, film and prices."""
    runtime: Runtime = request.app.state.runtime
    showtime = await runtime.catalogue.showtime(showtime_number(request))
    left = await runtime.catalogue.seats_left([showtime], runtime.seats.peek_seats)
    at_ms = now_ms()
    body = showtime_json(showtime, left[showtime.id], at_ms)
    body.server_time = rfc3339(at_ms)
    return answer(body, headers=SHORTLY)


@describe({200: LayoutAnswer}, tagged=True)
async def read_showtime_layout(request: Request) -> Response:
    """Give the seats of a showtime: they never change."""
    hall = await read_hall(_catalogue(request), showtime_number(request))
    return layout_answer(request, hall.layout, FOR_EVER)


@describe({200: LayoutAnswer}, tagged=True)
async def read_auditorium_layout(request: Request) -> Response:
    """Give the seats that new showtimes of an auditorium have; another layout has another version and ETag."""
    catalogue = _catalogue(request)
    auditorium = await catalogue.read_auditorium(row_number(request))
    return layout_answer(request, await catalogue.layout(auditorium.layout_id), SHORTLY)


async def find_showtimes(
    request: Request, of: Sequence[int] | None = None, *, running: bool = False
) -> tuple[list[Showtime], tuple[int, int] | None]:
    """Read the page of showtimes that the query asks for; `of` and `running` as in `Catalogue.list_showtimes`."""
    after = page_cursor(request, TimePosition)
    return await _catalogue(request).list_showtimes(
        city=query_text(request, "city"),
        cinema=query_text(request, "cinema"),
        movie=query_text(request, "movie"),
        day=query_day(request),
        of=of,
        running=running,
        limit=page_limit(request),
        after=(after.at_ms, after.id) if after else None,
    )


def after_name(request: Request) -> tuple[str, int] | None:
    """Give the last row of the page before, of a list by name; None for the first page."""
    after = page_cursor(request, NamePosition)
    return (after.name, after.id) if after else None


def query_day(request: Request) -> date | None:
    """Give `?date=` as a day; `invalid_field` if it is none of this century."""
    text = query_text(request, "date")
    if text is None:
        return None
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        raise invalid_parameter("date", "Expected a day such as 2026-11-21.") from None


def layout_answer(request: Request, layout: Layout, caching: dict[str, str]) -> Response:
    """Give a layout, or 304 to who has it."""
    headers = {"ETag": f'"{layout.version}.{layout.digest}"', **caching}
    if tag_matches(request, headers["ETag"]):
        return not_modified(headers)
    return answer(layout.wire, headers=headers)


def cinema_json(cinema: Cinema) -> CinemaAnswer:
    """Give a cinema as everybody may see it."""
    return msgspec.convert(cinema, CinemaAnswer, from_attributes=True)


def showtime_json(showtime: Showtime, seats_available: int | None, at_ms: int) -> ShowtimeAnswer:
    """Give a showtime as everybody may see it."""
    return ShowtimeAnswer(
        id=showtime.id,
        status=showtime.status_at(at_ms),
        starts_at=rfc3339_of(showtime.starts_at),
        ends_at=rfc3339_of(showtime.ends_at),
        sales_open_at=rfc3339_of(showtime.sales_open_at),
        sales_stop_at=rfc3339_of(showtime.sales_stop_at),
        timezone=showtime.timezone,
        city=showtime.city,
        cinema=ShowtimeCinema(showtime.cinema_id, showtime.cinema_slug, showtime.cinema),
        auditorium=ShowtimeAuditorium(showtime.auditorium_id, showtime.auditorium),
        movie=ShowtimeMovie(
            showtime.movie_id, showtime.movie_slug, showtime.movie, showtime.rating, showtime.duration_minutes
        ),
        layout_version=showtime.layout_id,
        seats=showtime.seat_count,
        seats_available=seats_available,
        prices=showtime.prices,
        lowest_price=min(showtime.prices.values()),
        currency=showtime.currency,
    )


def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.app.state.runtime.catalogue
    return catalogue
