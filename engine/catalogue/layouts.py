"""Layouts: the seats of an auditorium, in an order that never changes.

A seat's index is its bit in Redis and its place in every compact answer. A changed hall is another layout.
Aisles and missing seats are simply places where no seat stands.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal, Self

import msgspec

from engine import limits
from engine.errors import InvalidInput

Tier = Literal["REGULAR", "PREMIUM", "VIP"]
TIERS: tuple[Tier, ...] = ("REGULAR", "PREMIUM", "VIP")

LABEL = re.compile(r"[\w.~-]+")
"""A label stands in URLs, mails and spoken words: letters of any script, digits, and `. ~ - _`."""


class Seat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One seat. `seat` is its label, e.g. `C7`; `x` and `y` are pixels of its middle from the top left."""

    index: int
    seat: str
    row: str
    number: str
    tier: Tier
    zone: str
    x: float
    y: float
    accessible: bool = False
    companion: bool = False


class _StoredSeat(msgspec.Struct, frozen=True, array_like=True):
    """A seat as it lies in `layouts.body`: an array, for a stadium's sake."""

    seat: str
    row: str
    number: str
    tier: Tier
    zone: str
    x: float
    y: float
    accessible: bool
    companion: bool


class _StoredLayout(msgspec.Struct, frozen=True):
    """The jsonb of `layouts.body`."""

    width: float
    height: float
    seats: tuple[_StoredSeat, ...]


class LayoutAnswer(msgspec.Struct, frozen=True):
    """The layout as clients read it."""

    version: int
    name: str
    width: float
    height: float
    seats: tuple[Seat, ...]


@dataclass(frozen=True)
class Layout:
    """A valid layout; build it with `make_layout`.

    Attributes:
        name: for operators.
        width, height: pixels.
        seats: in index order.
        version: the layout's id in the ledger; 0 until it is stored.
    """

    name: str
    width: float
    height: float
    seats: tuple[Seat, ...]
    version: int = 0

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Map each label to its index."""
        return {seat.seat: seat.index for seat in self.seats}

    @cached_property
    def tiers(self) -> tuple[Tier, ...]:
        """Give the tiers that occur, cheapest kind first."""
        present = {seat.tier for seat in self.seats}
        return tuple(tier for tier in TIERS if tier in present)

    @cached_property
    def zones(self) -> tuple[str, ...]:
        """Give the zones in the order of their first seats."""
        return tuple(dict.fromkeys(seat.zone for seat in self.seats))

    @cached_property
    def wire(self) -> bytes:
        """Encode `{version, name, width, height, seats: [...]}` once: it never changes."""
        return msgspec.json.encode(LayoutAnswer(self.version, self.name, self.width, self.height, self.seats))

    @cached_property
    def digest(self) -> str:
        """Give 32 hex digits that two layouts share only if name and seats are the same."""
        return blake2b(msgspec.json.encode([self.name, self.to_json()]), digest_size=16).hexdigest()

    def to_json(self) -> msgspec.Raw:
        """Encode what `layouts.body` keeps; the name and the id have columns of their own."""
        seats = tuple(
            _StoredSeat(s.seat, s.row, s.number, s.tier, s.zone, s.x, s.y, s.accessible, s.companion)
            for s in self.seats
        )
        return msgspec.Raw(msgspec.json.encode(_StoredLayout(self.width, self.height, seats)))

    @classmethod
    def from_json(cls, body: str | bytes, *, name: str, version: int) -> Self:
        """Read back what `to_json` wrote; the ledger's own data is trusted."""
        stored = msgspec.json.decode(body, type=_StoredLayout)
        seats = tuple(
            Seat(i, s.seat, s.row, s.number, s.tier, s.zone, s.x, s.y, s.accessible, s.companion)
            for i, s in enumerate(stored.seats)
        )
        return cls(name, stored.width, stored.height, seats, version)


def make_layout(name: str, width: float, height: float, seats: Sequence[Seat], *, at: str = "") -> Layout:
    """Check and build a layout.

    Args:
        name: shown to operators.
        width: pixels; every seat lies within.
        height: pixels; every seat lies within.
        seats: indexes must run 0, 1, 2 ...; labels must be unique.
        at: JSON pointer of the layout in the caller's document, for the errors.

    Raises:
        InvalidInput: with a pointer to the first thing that is wrong.
    """
    if not 1 <= len(name) <= limits.CATALOGUE_NAME_LENGTH_MAX:
        raise InvalidInput(f"{at}/name", f"must have 1 to {limits.CATALOGUE_NAME_LENGTH_MAX} characters")
    for side, pixels in (("width", width), ("height", height)):
        if not (math.isfinite(pixels) and 0 < pixels <= limits.COORDINATE_MAX):
            raise InvalidInput(f"{at}/{side}", f"must be between 0 and {limits.COORDINATE_MAX} pixels")
    if not seats:
        raise InvalidInput(f"{at}/seats", "a layout needs at least one seat")
    if len(seats) > limits.SEATS_PER_LAYOUT_MAX:
        raise InvalidInput(f"{at}/seats", f"{len(seats)} seats; at most {limits.SEATS_PER_LAYOUT_MAX} are possible")
    first_of: dict[str, int] = {}
    for position, seat in enumerate(seats):
        _check_seat(seat, position, width, height, f"{at}/seats/{position}")
        first = first_of.setdefault(seat.seat, position)
        if first != position:
            raise InvalidInput(f"{at}/seats/{position}/seat", f"{seat.seat} is already the label of seat {first}")
    return Layout(name, float(width), float(height), tuple(seats))


def _check_seat(seat: Seat, position: int, width: float, height: float, at: str) -> None:
    if seat.index != position:
        raise InvalidInput(f"{at}/index", f"must be {position}: indexes run from 0 without a gap")
    if not 1 <= len(seat.seat) <= limits.SEAT_LABEL_LENGTH_MAX or not LABEL.fullmatch(seat.seat):
        raise InvalidInput(
            f"{at}/seat", f"a label has 1 to {limits.SEAT_LABEL_LENGTH_MAX} letters, digits or . ~ - _, and no spaces"
        )
    if seat.tier not in TIERS:
        raise InvalidInput(f"{at}/tier", f"must be one of {', '.join(TIERS)}")
    for field in ("row", "number", "zone"):
        if len(getattr(seat, field)) > limits.CATALOGUE_NAME_LENGTH_MAX:
            raise InvalidInput(f"{at}/{field}", f"must have at most {limits.CATALOGUE_NAME_LENGTH_MAX} characters")
    for axis, value, size in (("x", seat.x, width), ("y", seat.y, height)):
        if not (math.isfinite(value) and 0 <= value <= size):
            raise InvalidInput(f"{at}/{axis}", f"must lie between 0 and {size:g} pixels")
