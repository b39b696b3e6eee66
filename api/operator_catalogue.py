"""The catalogue over HTTP, for operators: make, list and change cinemas, auditoriums, movies and showtimes.

Every change is committed to PostgreSQL first and told to Redis second; the answer comes when both have it.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.catalogue import ShowtimeAnswer, after_name, find_showtimes, showtime_json
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import PAGE, describe
from api.wire import (
    Body,
    Input,
    Page,
    answer,
    now_ms,
    page,
    page_cursor,
    page_limit,
    query_text,
    rfc3339,
    row_number,
    showtime_number,
)
from engine.accounts.tokens import Identity
from engine.catalogue.records import (
    Auditorium,
    AuditoriumChange,
    Cinema,
    CinemaChange,
    Movie,
    MovieChange,
    NewAuditorium,
    NewCinema,
    NewMovie,
    NewShowtime,
    Showtime,
    ShowtimeChange,
    StoredStatus,
)
from engine.errors import Refusal, Unavailable
from engine.limits import REDIS_CALLS_AT_ONCE_MAX, SHOWTIMES_PER_BULK_MAX
from engine.runtime import Runtime
from engine.seats.keys import showtime_key


class NewShowtimes(Input, frozen=True):
    """Showtimes in bulk, all or none."""

    items: Annotated[tuple[NewShowtime, ...], Meta(min_length=1, max_length=SHOWTIMES_PER_BULK_MAX)]


class RowPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list by id goes on."""

    id: Annotated[int, Meta(ge=0, lt=2**31)]


class OperatorShowtimeAnswer(ShowtimeAnswer, kw_only=True):
    """A showtime as operators see it: what is stored, its rules, and where to look in Redis.

    `seats_available` is not counted here.
    """

    stored_status: StoredStatus
    status_reason: str | None
    policy: dict[str, Any]
    cinema_policy: dict[str, Any]
    redis_key: str


class MadeShowtime(msgspec.Struct):
    """The number of a showtime that was made."""

    id: int


class MadeShowtimes(msgspec.Struct):
    """The numbers of the showtimes that were made, in the order of the request."""

    items: list[MadeShowtime]


NEW_CINEMA, CINEMA_CHANGE = Body(NewCinema), Body(CinemaChange)
NEW_AUDITORIUM, AUDITORIUM_CHANGE = Body(NewAuditorium), Body(AuditoriumChange)
NEW_MOVIE, MOVIE_CHANGE = Body(NewMovie), Body(MovieChange)
NEW_SHOWTIME, NEW_SHOWTIMES, SHOWTIME_CHANGE = Body(NewShowtime), Body(NewShowtimes), Body(ShowtimeChange)
_MEMBERS = Body(dict[str, msgspec.Raw])


# --- Cinemas


@describe({201: Cinema}, body=NewCinema, refuses=("name_taken",))
async def create_cinema(request: Request) -> Response:
    """Make a cinema, and its city where that is new."""
    runtime, identity = _runtime(request), caller(request)
    new = await NEW_CINEMA.read(request)
    cinema, replayed = await runtime.catalogue.desk.create_cinema(
        identity.subject, new, engine_request(request, identity.subject, new)
    )
    return _created(await runtime.catalogue.read_cinema(cinema), replayed=replayed)


@describe({200: Page[Cinema]}, query=("city", *PAGE))
async def list_cinemas(request: Request) -> Response:
    """List the cinemas that the caller operates."""
    cinemas, position = await _runtime(request).catalogue.list_cinemas(
        query_text(request, "city"),
        of=cinemas_of(caller(request)),
        limit=page_limit(request),
        after=after_name(request),
    )
    return answer(page(cinemas, position))


@describe({200: Cinema})
async def read_cinema(request: Request) -> Response:
    """Give one cinema with its policy."""
    cinema = row_number(request)
    caller(request).require_cinema(cinema)
    return answer(await _runtime(request).catalogue.read_cinema(cinema))


@describe({200: Cinema}, body=CinemaChange, refuses=("name_taken", "showtime_frozen"))
async def change_cinema(request: Request) -> Response:
    """Change a cinema; a changed policy reaches all its showtimes to come."""
    runtime, identity, cinema = _runtime(request), caller(request), row_number(request)
    identity.require_cinema(cinema, manager=True)
    change = await CINEMA_CHANGE.read(request)
    numbers = await runtime.catalogue.desk.change_cinema(identity.subject, cinema, change)
    await tell_policies(runtime, numbers)
    return answer(await runtime.catalogue.read_cinema(cinema))


# --- Auditoriums


@describe({201: Auditorium}, body=NewAuditorium, refuses=("name_taken", "invalid_layout"))
async def create_auditorium(request: Request) -> Response:
    """Make an auditorium: its seats from a layout, a drawing, or a seating-plan file."""
    runtime, identity = _runtime(request), caller(request)
    new = await NEW_AUDITORIUM.read(request)
    auditorium, replayed = await runtime.catalogue.desk.create_auditorium(
        identity.subject, new, _permit(identity), engine_request(request, identity.subject, new)
    )
    return _created(await runtime.catalogue.read_auditorium(auditorium), replayed=replayed)


@describe({200: Page[Auditorium]}, query=("cinema", *PAGE))
async def list_auditoriums(request: Request) -> Response:
    """List the auditoriums of the cinemas that the caller operates: `?cinema=`."""
    after = page_cursor(request, RowPosition)
    auditoriums, position = await _runtime(request).catalogue.list_auditoriums(
        query_text(request, "cinema"),
        of=cinemas_of(caller(request)),
        limit=page_limit(request),
        after=after.id if after else None,
    )
    return answer(page(auditoriums, None if position is None else [position]))


@describe({200: Auditorium})
async def read_auditorium(request: Request) -> Response:
    """Give one auditorium."""
    auditorium = await _runtime(request).catalogue.read_auditorium(row_number(request))
    caller(request).require_cinema(auditorium.cinema_id)
    return answer(auditorium)


@describe({200: Auditorium}, body=AuditoriumChange, refuses=("name_taken", "invalid_layout"))
async def change_auditorium(request: Request) -> Response:
    """Rename an auditorium, or give the showtimes that are made from now on other seats."""
    runtime, identity, auditorium = _runtime(request), caller(request), row_number(request)
    change = await AUDITORIUM_CHANGE.read(request)
    await runtime.catalogue.desk.change_auditorium(identity.subject, auditorium, change, _permit(identity))
    return answer(await runtime.catalogue.read_auditorium(auditorium))


# --- Movies


@describe({201: Movie}, body=NewMovie, refuses=("name_taken",))
async def create_movie(request: Request) -> Response:
    """Make a movie."""
    runtime, identity = _runtime(request), caller(request)
    new = await NEW_MOVIE.read(request)
    movie, replayed = await runtime.catalogue.desk.create_movie(
        identity.subject, new, engine_request(request, identity.subject, new)
    )
    return _created(await runtime.catalogue.read_movie(movie), replayed=replayed)


@describe({200: Page[Movie]}, query=PAGE)
async def list_movies(request: Request) -> Response:
    """List all movies, showing or not."""
    movies, position = await _runtime(request).catalogue.list_movies(
        limit=page_limit(request), after=after_name(request)
    )
    return answer(page(movies, position))


@describe({200: Movie})
async def read_movie(request: Request) -> Response:
    """Give one movie."""
    return answer(await _runtime(request).catalogue.read_movie(row_number(request)))


@describe({200: Movie}, body=MovieChange, refuses=("name_taken",))
async def change_movie(request: Request) -> Response:
    """Change what is said of a movie, everywhere."""
    runtime, movie = _runtime(request), row_number(request)
    change = await MOVIE_CHANGE.read(request)
    await runtime.catalogue.desk.change_movie(caller(request).subject, movie, change)
    return answer(await runtime.catalogue.read_movie(movie))


# --- Showtimes


@describe(
    {201: (OperatorShowtimeAnswer, MadeShowtimes)}, body=(NewShowtime, NewShowtimes), refuses=("auditorium_busy",)
)
async def create_showtimes(request: Request) -> Response:
    """Make one showtime, or with `items` up to 500, all or none."""
    runtime, identity = _runtime(request), caller(request)
    bulk = "items" in await _MEMBERS.read(request)
    body: NewShowtimes | NewShowtime = await (NEW_SHOWTIMES if bulk else NEW_SHOWTIME).read(request)
    items = body.items if isinstance(body, NewShowtimes) else (body,)
    numbers, replayed = await runtime.catalogue.desk.create_showtimes(
        identity.subject, items, _permit(identity), engine_request(request, identity.subject, body), bulk=bulk
    )
    if not bulk:
        return _created(operator_showtime_json(await runtime.catalogue.read_showtime(numbers[0])), replayed=replayed)
    return _created(MadeShowtimes([MadeShowtime(number) for number in numbers]), replayed=replayed)


@describe({200: Page[OperatorShowtimeAnswer]}, query=("city", "cinema", "movie", "date", *PAGE))
async def list_showtimes(request: Request) -> Response:
    """List the showtimes of the caller's cinemas: `?city=&cinema=&movie=&date=`."""
    showtimes, position = await find_showtimes(request, cinemas_of(caller(request)), running=True)
    return answer(page([operator_showtime_json(showtime) for showtime in showtimes], position))


@describe({200: OperatorShowtimeAnswer})
async def read_showtime(request: Request) -> Response:
    """Give one showtime as it is stored, with the Redis key to look at it."""
    showtime = await operated_showtime(request)
    return answer(operator_showtime_json(showtime))


@describe(
    {200: OperatorShowtimeAnswer},
    body=ShowtimeChange,
    refuses=("has_sales", "auditorium_busy", "showtime_closed", "showtime_frozen"),
)
async def change_showtime(request: Request) -> Response:
    """Change a showtime; 409 `has_sales` for a new film or time once somebody has seats or a hold there."""
    runtime, identity, number = _runtime(request), caller(request), showtime_number(request)
    change = await SHOWTIME_CHANGE.read(request)
    if change.movie_id is not None or change.starts_at is not None or change.ends_at is not None:
        await _refuse_moving_holds(runtime, await operated_showtime(request, manager=True), change)
    await runtime.catalogue.desk.change_showtime(identity.subject, number, change, _permit(identity))
    await tell_policies(runtime, [number])
    return answer(operator_showtime_json(await runtime.catalogue.read_showtime(number)))


async def _refuse_moving_holds(runtime: Runtime, showtime: Showtime, change: ShowtimeChange) -> None:
    """Refuse to move a showtime under the feet of who is choosing seats; the ledger sees only who pays."""
    same = (
        change.movie_id in (None, showtime.movie_id)
        and change.starts_at in (None, showtime.starts_at)
        and change.ends_at in (None, showtime.ends_at)
    )
    seat_map = None if same else await runtime.seats.peek_seats(showtime.id)
    if seat_map is not None and (_any_seat(seat_map.locked) or _any_seat(seat_map.sold)):
        raise Refusal("has_sales", "Somebody has seats of this showtime, or a hold.")


def _any_seat(bitmap: bytes) -> bool:
    """Say whether a bitmap has more than its sentinel bit."""
    return int.from_bytes(bitmap).bit_count() > 1


# --- Shared with the other operator endpoints


async def operated_showtime(request: Request, *, manager: bool = False) -> Showtime:
    """Give the path's showtime as it is in PostgreSQL now.

    Raises:
        Refusal: `not_found`, or `forbidden`: the caller does not operate its cinema.
    """
    showtime = await _runtime(request).catalogue.read_showtime(showtime_number(request))
    caller(request).require_cinema(showtime.cinema_id, manager=manager)
    return showtime


async def tell_policies(runtime: Runtime, numbers: Sequence[int]) -> None:
    """Bring showtimes' rules in Redis in line with the catalogue, a bounded number at once.

    Raises:
        Unavailable: `unknown`, for the catalogue has changed: the same request is to be sent again.
    """

    async def tell(number: int) -> None:
        runtime.catalogue.forget(number)
        showtime = await runtime.catalogue.read_showtime(number)
        await runtime.seats.change_policy(number, runtime.catalogue.policy(showtime))

    await tell_redis(tell, numbers)


async def tell_redis(tell: Any, numbers: Sequence[int]) -> None:
    """Call `tell(number)` for each showtime; one that is closed for ever needs no telling.

    Raises:
        Unavailable: `unknown`, for PostgreSQL has the change already: the same request is to be sent again.
    """

    async def tell_one(number: int) -> None:
        try:
            await tell(number)
        except Refusal as refusal:
            if refusal.code != "showtime_closed":
                raise

    with committed():
        for first in range(0, len(numbers), REDIS_CALLS_AT_ONCE_MAX):
            await asyncio.gather(*map(tell_one, numbers[first : first + REDIS_CALLS_AT_ONCE_MAX]))


@contextmanager
def committed() -> Iterator[None]:
    """Around what follows a commit: a dependency that fails now leaves the outcome unknown to the caller."""
    try:
        yield
    except Unavailable as error:
        raise Unavailable(error.code, error.detail, outcome="unknown", retry_after_ms=error.retry_after_ms) from error


def operator_showtime_json(showtime: Showtime) -> OperatorShowtimeAnswer:
    """Give a showtime as operators see it."""
    at_ms = now_ms()
    body = msgspec.structs.asdict(showtime_json(showtime, None, at_ms))
    body["server_time"] = rfc3339(at_ms)
    return OperatorShowtimeAnswer(
        **body,
        stored_status=showtime.status,
        status_reason=showtime.status_reason,
        policy=showtime.policy,
        cinema_policy=showtime.cinema_policy,
        redis_key=showtime_key(showtime.id, "meta"),
    )


def cinemas_of(identity: Identity) -> list[int] | None:
    """Give the cinemas that a caller may see as an operator; None for all."""
    return None if identity.role == "admin" else sorted(identity.cinemas)


def _permit(identity: Identity) -> partial[None]:
    return partial(identity.require_cinema, manager=True)


def _created(body: Any, *, replayed: bool) -> Response:
    return answer(body, 201, REPLAYED if replayed else None)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
