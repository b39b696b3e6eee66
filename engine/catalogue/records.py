"""What the catalogue gives and takes: frozen records; times are aware datetimes, money is in minor units."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engine import limits
from engine.catalogue.layouts import Seat, Tier
from engine.catalogue.policies import PolicyOverrides
from engine.ledger.database import to_ms
from engine.seats.answers import showtime_status
from engine.seats.records import ShowtimeStatus

StoredStatus = Literal["OPEN", "FROZEN", "CANCELLED"]

Name = Annotated[str, Meta(min_length=1, max_length=limits.CATALOGUE_NAME_LENGTH_MAX)]
Text = Annotated[str, Meta(max_length=limits.CATALOGUE_TEXT_LENGTH_MAX)]
RowId = Annotated[int, Meta(ge=1, lt=2**31)]
Price = Annotated[int, Meta(ge=1, le=limits.PRICE_MAX_MINOR)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Moment = Annotated[datetime, Meta(tz=True)]
Minutes = Annotated[int, Meta(ge=1, le=limits.MOVIE_DURATION_MAX_MINUTES)]
Genres = Annotated[tuple[Name, ...], Meta(max_length=20)]
Lines = Annotated[tuple[Annotated[str, Meta(max_length=1_000)], ...], Meta(min_length=1, max_length=1_000)]


class Showtime(msgspec.Struct, frozen=True, kw_only=True):
    """One showing of a movie, with what a booking needs to know of the place."""

    id: int
    status: StoredStatus
    status_reason: str | None
    starts_at: datetime
    ends_at: datetime
    sales_open_at: datetime
    sales_stop_at: datetime
    layout_id: int
    prices: dict[str, int]
    currency: str
    policy: dict[str, Any]
    cinema_policy: dict[str, Any]
    auditorium_id: int
    auditorium: str
    cinema_id: int
    cinema: str
    cinema_slug: str
    city: str
    timezone: str
    movie_id: int
    movie: str
    movie_slug: str
    rating: str
    duration_minutes: int
    seat_count: int

    @property
    def starts_ms(self) -> int:
        """When the show begins, Unix ms."""
        return to_ms(self.starts_at)

    @property
    def ends_ms(self) -> int:
        """When the show ends, Unix ms."""
        return to_ms(self.ends_at)

    @property
    def sales_open_ms(self) -> int:
        """When sales begin, Unix ms."""
        return to_ms(self.sales_open_at)

    @property
    def sales_stop_ms(self) -> int:
        """When sales stop, Unix ms."""
        return to_ms(self.sales_stop_at)

    def status_at(self, now_ms: int) -> ShowtimeStatus:
        """Give the status that customers see at a moment (Unix ms), by the same rule as the seat engine."""
        stopped_ms = min(self.sales_stop_ms, self.ends_ms)
        return showtime_status(self.status.lower(), now_ms, self.sales_open_ms, stopped_ms)


class City(msgspec.Struct, frozen=True, kw_only=True):
    """A city with how many cinemas it has."""

    id: int
    slug: str
    name: str
    timezone: str
    cinemas: int


class Cinema(msgspec.Struct, frozen=True, kw_only=True):
    """A cinema with how many auditoriums it has."""

    id: int
    slug: str
    name: str
    address: str
    city: str
    city_slug: str
    timezone: str
    auditoriums: int
    policy: dict[str, Any]


class Auditorium(msgspec.Struct, frozen=True, kw_only=True):
    """An auditorium with the layout that new showtimes there get."""

    id: int
    name: str
    cinema_id: int
    cinema: str
    layout_id: int
    layout: str
    seat_count: int
    tiers: tuple[str, ...]


class Movie(msgspec.Struct, frozen=True, kw_only=True):
    """A movie with how many showtimes it has in the list that it was read for."""

    id: int
    slug: str
    title: str
    synopsis: str
    duration_minutes: int
    rating: str
    genres: tuple[str, ...]
    showtimes: int


class NewCinema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cinema to make. `city` is a city's name; `timezone` may be left out where the city is known already."""

    name: Name
    city: Name
    timezone: Name | None = None
    address: Text = ""
    policy: PolicyOverrides = PolicyOverrides()


class CinemaChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change of a cinema; absent fields stay. `policy` replaces the whole of it."""

    name: Name | None = None
    address: Text | None = None
    policy: PolicyOverrides | None = None


class DrawnLayout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A layout drawn in characters; see engine/catalogue/floor_plans.py."""

    name: Name
    lines: Lines
    zone: Annotated[str, Meta(max_length=limits.CATALOGUE_NAME_LENGTH_MAX)] = ""


class ListedLayout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A layout seat by seat, as `GET .../layout` gives it."""

    name: Name
    width: float
    height: float
    seats: tuple[Seat, ...]
    version: int = 0


class LayoutSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an auditorium's seats come from: exactly one of the four; `tiers` goes with `seating_plan`."""

    layout_id: RowId | None = None
    layout: ListedLayout | None = None
    floor_plan: DrawnLayout | None = None
    seating_plan: dict[str, Any] | None = None
    tiers: dict[str, Tier] | None = None


class NewAuditorium(LayoutSource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An auditorium to make."""

    cinema_id: RowId
    name: Name


class AuditoriumChange(LayoutSource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change of an auditorium. Showtimes that exist keep the layout they were made with."""

    name: Name | None = None


class NewMovie(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A movie to make."""

    title: Name
    duration_minutes: Minutes
    synopsis: Text = ""
    rating: Annotated[str, Meta(max_length=20)] = ""
    genres: Genres = ()


class MovieChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change of a movie; absent fields stay."""

    title: Name | None = None
    duration_minutes: Minutes | None = None
    synopsis: Text | None = None
    rating: Annotated[str, Meta(max_length=20)] | None = None
    genres: Genres | None = None


class NewShowtime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A showtime to make: one price per tier of the auditorium's layout.

    `ends_at` defaults to the start + the movie's length, `sales_open_at` to now, `sales_stop_at` to the start.
    """

    auditorium_id: RowId
    movie_id: RowId
    starts_at: Moment
    prices: dict[Tier, Price]
    currency: Currency = "IDR"
    ends_at: Moment | None = None
    sales_open_at: Moment | None = None
    sales_stop_at: Moment | None = None
    policy: PolicyOverrides = PolicyOverrides()


class ShowtimeChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change of a showtime; absent fields stay. A new film or time needs a showtime without sales.

    With a new `starts_at` alone, `ends_at` and `sales_stop_at` move along. `policy` replaces the whole of it.
    """

    movie_id: RowId | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    sales_open_at: Moment | None = None
    sales_stop_at: Moment | None = None
    prices: dict[Tier, Price] | None = None
    policy: PolicyOverrides | None = None
