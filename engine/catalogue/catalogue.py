"""The catalogue as everybody reads it: what is shown where, when, on which seats, at which price."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

import asyncpg
import msgspec

from engine import limits
from engine.catalogue.cache import ShortMemory
from engine.catalogue.desk import Desk
from engine.catalogue.layouts import Layout
from engine.catalogue.policies import merge_policy, merge_refund_tiers
from engine.catalogue.records import Auditorium, Cinema, City, Movie, Showtime
from engine.catalogue.seat_counts import SeatCounts
from engine.errors import Refusal
from engine.ledger.database import moment, reading
from engine.ledger.queries import query
from engine.refund_policy import parse_tiers, terms_at
from engine.seats.records import Policy, SeatMap
from engine.settings import Settings

T = TypeVar("T")
NamePosition = tuple[str, int]
"""Where the next page of a list by name begins: the last name and id."""

_FIRST: NamePosition = ("", 0)
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
_NEVER = datetime(9000, 1, 1, tzinfo=UTC)


def local_day_bounds(day: date) -> tuple[datetime, datetime]:
    """Give the moments between which the local day lies in any time zone of the earth, UTC+14 to UTC-12."""
    midnight = datetime.combine(day, time(), UTC)
    return midnight - timedelta(hours=14), midnight + timedelta(hours=24 + 12)


class Catalogue:
    """Reads the catalogue; `desk` writes it.

    Args:
        pool: of the ledger.
        settings: the defaults under every policy.
    """

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self.desk = Desk(pool, settings)
        self._showtimes = ShortMemory(
            self.read_showtime,
            limits.SHOWTIME_CACHE_TTL_MS,
            limits.SHOWTIMES_CACHED_MAX,
            renew=self._read_showtimes,
        )
        self._seat_counts = SeatCounts(self._count_seats_gone)
        # A layout never changes, so its time to live is only a matter of form.
        self._layouts = ShortMemory(self._read_layout, limits.DAY_MS, limits.LAYOUTS_CACHED_MAX)

    # --- One showtime

    async def showtime(self, number: int) -> Showtime:
        """Give a showtime as it was at most some seconds ago, or, while PostgreSQL is away, as it was last seen.

        Raises:
            Refusal: `not_found`.
            Unavailable: `ledger_unavailable`, and this process has never seen it.
        """
        return self._showtimes.peek(number) or await self._showtimes.get(number)

    async def read_showtime(self, number: int) -> Showtime:
        """Give a showtime as it is now; errors as in `showtime`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(query("read_showtime"), number)
        if row is None:
            raise Refusal("not_found")
        return _record(row, Showtime)

    async def _read_showtimes(self, numbers: Sequence[int]) -> dict[int, Showtime]:
        rows = await self._fetch("read_showtimes", list(numbers))
        return {row["id"]: _record(row, Showtime) for row in rows}

    def forget(self, number: int) -> None:
        """Read the showtime anew next time: something about it was changed."""
        self._showtimes.forget(number)

    async def layout(self, layout_id: int) -> Layout:
        """Give a layout.

        Raises:
            Refusal: `not_found`.
            Unavailable: `ledger_unavailable`, and this process has never seen it.
        """
        return self._layouts.peek(layout_id) or await self._layouts.get(layout_id)

    async def _read_layout(self, layout_id: int) -> Layout:
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(query("read_layout"), layout_id)
        if row is None:
            raise Refusal("not_found")
        # A stadium takes a tenth of a second; other requests go on meanwhile.
        return await asyncio.to_thread(Layout.from_json, row["body"], name=row["name"], version=row["id"])

    def policy(self, showtime: Showtime) -> Policy:
        """Give what the seat engine is to enforce: settings, then the cinema's numbers, then the showtime's."""
        numbers = merge_policy(self._settings, showtime.cinema_policy, showtime.policy)
        return Policy(
            hold_ttl_ms=numbers["hold_ttl_s"] * limits.SECOND_MS,
            payment_ttl_ms=numbers["payment_ttl_s"] * limits.SECOND_MS,
            hold_max_ms=numbers["hold_max_s"] * limits.SECOND_MS,
            claim_max_ms=numbers["claim_max_s"] * limits.SECOND_MS,
            seats_per_hold_max=numbers["seats_per_hold_max"],
            holds_per_customer_max=numbers["holds_per_customer_max"],
            seats_per_customer_max=numbers["seats_per_customer_max"],
            sales_open_ms=showtime.sales_open_ms,
            sales_stop_ms=showtime.sales_stop_ms,
            ends_ms=showtime.ends_ms,
            keys_until_ms=showtime.ends_ms + limits.KEYS_OUTLIVE_SHOW_MS,
        )

    def refund_percent(self, showtime: Showtime, at_ms: int) -> int:
        """Give what tickets that are given back at a moment (Unix ms) pay; a hint, for the ledger has the last word."""
        if showtime.status == "CANCELLED":
            return 0
        tiers = merge_refund_tiers(self._settings.refund_tiers, showtime.cinema_policy, showtime.policy)
        return terms_at(parse_tiers(tiers), showtime.starts_at, moment(at_ms)).percent

    # --- Lists: each gives a page and the position after which the next begins, None at the end

    async def list_cities(self, *, limit: int, after: NamePosition | None = None) -> tuple[list[City], Any]:
        """List cities by name."""
        rows = await self._fetch("list_cities", *(after or _FIRST), limit + 1)
        return _page([_record(row, City) for row in rows], limit, lambda city: (city.name, city.id))

    async def list_cinemas(
        self,
        city: str | None = None,
        *,
        of: Sequence[int] | None = None,
        limit: int,
        after: NamePosition | None = None,
    ) -> tuple[list[Cinema], Any]:
        """List cinemas by name; `city` is a slug, `of` limits the list to these ids."""
        rows = await self._fetch("list_cinemas", city, _ids(of), *(after or _FIRST), limit + 1)
        return _page([_record(row, Cinema) for row in rows], limit, lambda cinema: (cinema.name, cinema.id))

    async def list_auditoriums(
        self, cinema: str | None = None, *, of: Sequence[int] | None = None, limit: int, after: int | None = None
    ) -> tuple[list[Auditorium], Any]:
        """List auditoriums by id; `cinema` is a slug or an id."""
        rows = await self._fetch("list_auditoriums", cinema, _ids(of), after or 0, limit + 1)
        return _page([_record(row, Auditorium) for row in rows], limit, lambda auditorium: auditorium.id)

    async def list_movies(self, *, limit: int, after: NamePosition | None = None) -> tuple[list[Movie], Any]:
        """List all movies by title, showing or not."""
        rows = await self._fetch("list_movies", *(after or _FIRST), limit + 1)
        return _page([_record(row, Movie) for row in rows], limit, lambda movie: (movie.title, movie.id))

    async def list_movies_showing(
        self,
        city: str | None = None,
        day: date | None = None,
        *,
        limit: int,
        after: NamePosition | None = None,
    ) -> tuple[list[Movie], Any]:
        """List movies by title that still have a showing, on a local day of the cinemas if one is given."""
        since, until = local_day_bounds(day) if day else (_EVER, _NEVER)
        now = datetime.now(UTC)
        rows = await self._fetch("list_movies_showing", city, day, since, until, now, *(after or _FIRST), limit + 1)
        return _page([_record(row, Movie) for row in rows], limit, lambda movie: (movie.title, movie.id))

    async def list_showtimes(
        self,
        *,
        city: str | None = None,
        cinema: str | None = None,
        movie: str | None = None,
        day: date | None = None,
        of: Sequence[int] | None = None,
        running: bool = False,
        limit: int,
        after: tuple[int, int] | None = None,
    ) -> tuple[list[Showtime], tuple[int, int] | None]:
        """List showtimes by start: those of a local day of the cinema, or without a day those with sales now or later.

        Args:
            city: slug.
            cinema: slug or id.
            movie: slug or id.
            day: the cinema's local day.
            of: limits the list to these cinemas.
            running: without a day, also those that have not ended, though nothing is sold any more.
            limit: items at most.
            after: start (Unix ms) and number of the last one seen.
        """
        now = datetime.now(UTC)
        # Without a day the start is bounded too, so that the list reads an index from there and not from 1970.
        longest = timedelta(minutes=limits.SHOWTIME_LENGTH_MAX_MINUTES)
        since, until = local_day_bounds(day) if day else (now - longest, _NEVER)
        ended = _EVER if day else now
        stopped = _EVER if day or running else now
        last = (_moment(after[0]), after[1]) if after else (_EVER, 0)
        rows = await self._fetch(
            "list_showtimes", city, cinema, movie, day, since, until, ended, stopped, _ids(of), *last, limit + 1
        )
        showtimes = [_record(row, Showtime) for row in rows]
        return _page(showtimes, limit, lambda showtime: (showtime.starts_ms, showtime.id))

    # --- Seats left

    async def seats_left(
        self, showtimes: Sequence[Showtime], peek: Callable[[int], Awaitable[SeatMap | None]]
    ) -> dict[int, int | None]:
        """Count the seats that can be had, as of some seconds ago; None where nobody can tell now.

        Args:
            showtimes: of one page of a list.
            peek: reads a showtime's map from Redis without loading it there; one that is not loaded has no holds,
                and is counted from the ledger.
        """
        return await self._seat_counts.count(showtimes, peek)

    # --- One of the others

    async def read_cinema(self, cinema: int) -> Cinema:
        """Give a cinema; Refusal `not_found`."""
        return await self._read_one("read_cinema", cinema, Cinema)

    async def read_auditorium(self, auditorium: int) -> Auditorium:
        """Give an auditorium; Refusal `not_found`."""
        return await self._read_one("read_auditorium", auditorium, Auditorium)

    async def read_movie(self, movie: int) -> Movie:
        """Give a movie; Refusal `not_found`."""
        return await self._read_one("read_movie", movie, Movie)

    async def _count_seats_gone(self, numbers: Sequence[int]) -> dict[int, int]:
        """Count the seats of showtimes that the ledger knows as sold or out of sale."""
        return {row["showtime_id"]: row["gone"] for row in await self._fetch("count_seats_gone", list(numbers))}

    async def _read_one(self, name: str, row_id: int, kind: type[T]) -> T:
        rows = await self._fetch(name, row_id)
        if not rows:
            raise Refusal("not_found")
        return _record(rows[0], kind)

    async def _fetch(self, name: str, *values: Any) -> list[Any]:
        async with reading(self._pool) as connection:
            return list(await connection.fetch(query(name), *values))


def _record(row: Any, kind: type[T]) -> T:
    """Build a record of a row; columns that it has no field for are left out."""
    return msgspec.convert(dict(row), kind)


def _page(items: list[T], limit: int, position: Any) -> tuple[list[T], Any]:
    """Cut a list that was read with one row too many; that row says that there is a next page."""
    if len(items) <= limit:
        return items, None
    return items[:limit], position(items[limit - 1])


def _ids(ids: Sequence[int] | None) -> list[int] | None:
    return None if ids is None else list(ids)


def _moment(at_ms: int) -> datetime:
    """Turn a cursor's ms into a time; one that was made up by hand lies beyond every showtime."""
    try:
        return datetime.fromtimestamp(at_ms // limits.SECOND_MS, UTC) + timedelta(milliseconds=at_ms % limits.SECOND_MS)
    except (OverflowError, ValueError, OSError):
        return _NEVER
