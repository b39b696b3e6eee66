"""The catalogue over HTTP, for everybody: cities, cinemas, movies, showtimes, layouts."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.seat_labels import read_hall
from api.wire import (
    answer,
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
from engine.catalogue.layouts import Layout
from engine.catalogue.records import Cinema, Showtime
from engine.runtime import Runtime


class NamePosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list by name goes on; what a client makes up must still be something that PostgreSQL can compare."""

    name: Annotated[str, Meta(pattern=r"^[^\x00]*$")]
    id: Annotated[int, Meta(ge=0, lt=2**31)]


class TimePosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list by time goes on: Unix ms and a showtime's number."""

    at_ms: Annotated[int, Meta(ge=0, lt=2**53)]
    id: Annotated[int, Meta(ge=0, lt=2**53)]


_DAY = re.compile(r"20\d\d-\d\d-\d\d")

SHORTLY = {"Cache-Control": "public, max-age=5"}
FOR_EVER = {"Cache-Control": "public, max-age=86400, immutable"}


async def list_cities(request: Request) -> Response:
    """List the cities that have cinemas, by name."""
    cities, position = await _catalogue(request).list_cities(limit=page_limit(request), after=after_name(request))
    return answer(page(cities, position), headers=SHORTLY)


async def list_cinemas(request: Request) -> Response:
    """List cinemas by name, of one city (`?city=` its slug) or of all."""
    cinemas, position = await _catalogue(request).list_cinemas(
        query_text(request, "city"), limit=page_limit(request), after=after_name(request)
    )
    return answer(page([cinema_json(cinema) for cinema in cinemas], position), headers=SHORTLY)


async def list_movies(request: Request) -> Response:
    """List the movies that can still be seen, by title: in a city, on a day (`?date=`, the cinema's local day)."""
    movies, position = await _catalogue(request).list_movies_showing(
        query_text(request, "city"),
        query_day(request),
        limit=page_limit(request),
        after=after_name(request),
    )
    return answer(page(movies, position), headers=SHORTLY)


async def list_showtimes(request: Request) -> Response:
    """List showtimes by start: `?city=&cinema=&movie=&date=`; without a day those that have not ended."""
    runtime: Runtime = request.app.state.runtime
    showtimes, position = await find_showtimes(request)
    left = await runtime.catalogue.seats_left(showtimes, runtime.seats.peek_seats)
    at_ms = now_ms()
    items = [showtime_json(showtime, left[showtime.id], at_ms) for showtime in showtimes]
    return answer({**page(items, position), "server_time": rfc3339(at_ms)}, headers=SHORTLY)


async def read_showtime(request: Request) -> Response:
    """Give one showtime with its place, film and prices."""
    runtime: Runtime = request.app.state.runtime
    showtime = await runtime.catalogue.showtime(showtime_number(request))
    left = await runtime.catalogue.seats_left([showtime], runtime.seats.peek_seats)
    at_ms = now_ms()
    body = showtime_json(showtime, left[showtime.id], at_ms)
    return answer({**body, "server_time": rfc3339(at_ms)}, headers=SHORTLY)


async def read_showtime_layout(request: Request) -> Response:
    """Give the seats of a showtime: they never change."""
    hall = await read_hall(_catalogue(request), showtime_number(request))
    return layout_answer(request, hall.layout, FOR_EVER)


async def read_auditorium_layout(request: Request) -> Response:
    """Give the seats that new showtimes of an auditorium have; another layout has another version and ETag."""
    catalogue = _catalogue(request)
    auditorium = await catalogue.read_auditorium(row_number(request))
    return layout_answer(request, await catalogue.layout(auditorium.layout_id), SHORTLY)


async def find_showtimes(
    request: Request, of: Sequence[int] | None = None
) -> tuple[list[Showtime], tuple[int, int] | None]:
    """Read the page of showtimes that the query asks for; `of` limits it to these cinemas."""
    after = page_cursor(request, TimePosition)
    return await _catalogue(request).list_showtimes(
        city=query_text(request, "city"),
        cinema=query_text(request, "cinema"),
        movie=query_text(request, "movie"),
        day=query_day(request),
        of=of,
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


def cinema_json(cinema: Cinema) -> dict[str, Any]:
    """Give a cinema as everybody may see it."""
    body = msgspec.structs.asdict(cinema)
    del body["policy"]
    return body


def showtime_json(showtime: Showtime, seats_available: int | None, at_ms: int) -> dict[str, Any]:
    """Give a showtime as everybody may see it; prices in minor units of `currency`."""
    return {
        "id": showtime.id,
        "status": showtime.status_at(at_ms),
        "starts_at": rfc3339_of(showtime.starts_at),
        "ends_at": rfc3339_of(showtime.ends_at),
        "sales_open_at": rfc3339_of(showtime.sales_open_at),
        "sales_stop_at": rfc3339_of(showtime.sales_stop_at),
        "timezone": showtime.timezone,
        "city": showtime.city,
        "cinema": {"id": showtime.cinema_id, "slug": showtime.cinema_slug, "name": showtime.cinema},
        "auditorium": {"id": showtime.auditorium_id, "name": showtime.auditorium},
        "movie": {
            "id": showtime.movie_id,
            "slug": showtime.movie_slug,
            "title": showtime.movie,
            "rating": showtime.rating,
            "duration_minutes": showtime.duration_minutes,
        },
        "layout_version": showtime.layout_id,
        "seats": showtime.seat_count,
        "seats_available": seats_available,
        "prices": showtime.prices,
        "lowest_price": min(showtime.prices.values()),
        "currency": showtime.currency,
    }


def _catalogue(request: Request) -> Catalogue:
    catalogue: Catalogue = request.app.state.runtime.catalogue
    return catalogue
