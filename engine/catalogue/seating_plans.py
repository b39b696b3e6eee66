"""Seating-plan files (the JSON that pretix and its plan editor read and write) as layouts.

Positions add up: zone + row + seat, in pixels, y downwards. Categories name price levels; the format knows neither
tiers nor wheelchair places, so both are told from a category's name unless a mapping is given.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from engine import limits
from engine.catalogue.floor_plans import MARGIN
from engine.catalogue.layouts import TIERS, Layout, Seat, Tier, make_layout
from engine.errors import InvalidInput


class _Position(msgspec.Struct):
    x: float
    y: float


class _PlanSeat(msgspec.Struct):
    seat_guid: str
    seat_number: str
    position: _Position
    category: str


class _PlanRow(msgspec.Struct):
    row_number: str
    seats: list[_PlanSeat]
    position: _Position | None = None


class _PlanZone(msgspec.Struct):
    position: _Position
    rows: list[_PlanRow]
    name: str = ""


class _PlanCategory(msgspec.Struct):
    name: str


class _PlanSize(msgspec.Struct):
    width: float
    height: float


class _Plan(msgspec.Struct):
    """What we read of a file; other fields are ignored."""

    name: str
    categories: list[_PlanCategory]
    zones: list[_PlanZone]
    size: _PlanSize | None = None


class _Placed(NamedTuple):
    """A seat with its place added up."""

    seat: _PlanSeat
    row: str
    zone: int
    x: float
    y: float
    pointer: str


_ACCESSIBLE = re.compile(r"wheelchair|accessible|kursi roda|rollstuhl", re.IGNORECASE)
_COMPANION = re.compile(r"companion|carer|pendamping|begleit", re.IGNORECASE)


def read_seating_plan(document: Any, tiers: Mapping[str, Tier] | None = None, *, at: str = "") -> Layout:
    """Read a seating plan.

    Args:
        document: the file's bytes, or its JSON already decoded.
        tiers: category name -> tier; a category that is not named goes by its own name ("VIP", "Premium left").
            What no rule knows is REGULAR.
        at: JSON pointer of the plan in the caller's document.

    Raises:
        InvalidInput: the pointer names the place in the file: a missing field, a wrong type, no seats, too many,
            a guid twice, a position that is no number or too far away.
    """
    try:
        plan = _decode(document)
        tier_of = _tiers_of(plan, tiers or {})
        placed = _place(plan)
    except InvalidInput as error:
        wrong = error.details["errors"][0]
        raise InvalidInput(at + wrong["pointer"], wrong["detail"]) from None
    width, height, dx, dy = _frame(plan, placed)
    labels = _label(plan, placed)
    seats = [
        Seat(
            index, labels[index], p.row, p.seat.seat_number, tier_of.get(p.seat.category, "REGULAR"),
            plan.zones[p.zone].name, round(p.x + dx, 2), round(p.y + dy, 2),
            accessible=bool(_ACCESSIBLE.search(p.seat.category)), companion=bool(_COMPANION.search(p.seat.category)),
        )
        for index, p in enumerate(placed)
    ]  # fmt: skip
    return make_layout(plan.name, width, height, seats, at=at)


def _decode(document: Any) -> _Plan:
    try:
        if isinstance(document, bytes | str):
            return msgspec.json.decode(document, type=_Plan)
        return msgspec.convert(document, _Plan)
    except msgspec.ValidationError as error:
        raise InvalidInput(*_pointer_and_detail(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput("", f"not a JSON document: {error}") from None


_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_MISSING = re.compile(r"missing required field `(\w+)`")


def _pointer_and_detail(text: str) -> tuple[str, str]:
    """Turn "Expected `str`, got `int` - at `$.zones[0].name`" into ("/zones/0/name", "Expected ...")."""
    detail, _, path = text.partition(" - at `$")
    steps = [name or index for name, index in _STEP.findall(path)]
    steps += _MISSING.findall(detail)
    return "".join(f"/{step}" for step in steps), detail.replace("`", "")


def _tiers_of(plan: _Plan, given: Mapping[str, Tier]) -> dict[str, Tier]:
    names = {category.name for category in plan.categories}
    for name in given:
        if name not in names:
            raise InvalidInput("/categories", f"the plan has no category {name!r} to give a tier to")
    return {name: given.get(name) or _tier_named(name) for name in names}


def _tier_named(category: str) -> Tier:
    words = re.findall(r"\w+", category.upper())
    return next((tier for tier in reversed(TIERS) if tier in words), "REGULAR")


def _place(plan: _Plan) -> list[_Placed]:
    """Add up positions; check what only the whole file shows."""
    placed: list[_Placed] = []
    guids: dict[str, str] = {}
    for z, zone in enumerate(plan.zones):
        for r, row in enumerate(zone.rows):
            offset = row.position or _Position(0, 0)
            for s, seat in enumerate(row.seats):
                pointer = f"/zones/{z}/rows/{r}/seats/{s}"
                if len(placed) >= limits.SEATS_PER_LAYOUT_MAX:
                    raise InvalidInput(pointer, f"at most {limits.SEATS_PER_LAYOUT_MAX} seats are possible")
                first = guids.setdefault(seat.seat_guid, pointer)
                if first != pointer:
                    raise InvalidInput(f"{pointer}/seat_guid", f"{seat.seat_guid!r} is already the guid of {first}")
                x = zone.position.x + offset.x + seat.position.x
                y = zone.position.y + offset.y + seat.position.y
                for axis, value in (("x", x), ("y", y)):
                    if not math.isfinite(value) or abs(value) > limits.COORDINATE_MAX:
                        raise InvalidInput(
                            f"{pointer}/position/{axis}", "the seat's place is no usable number of pixels"
                        )
                placed.append(_Placed(seat, row.row_number, z, x, y, pointer))
    if not placed:
        raise InvalidInput("/zones", "the plan has no seats")
    return placed


def _frame(plan: _Plan, placed: list[_Placed]) -> tuple[float, float, float, float]:
    """Give width, height and the shift that brings every seat inside: the file's own size if all seats fit."""
    left, right = min(p.x for p in placed), max(p.x for p in placed)
    top, bottom = min(p.y for p in placed), max(p.y for p in placed)
    size = plan.size
    if size and 0 <= left <= right <= size.width and 0 <= top <= bottom <= size.height and size.width * size.height > 0:
        return size.width, size.height, 0.0, 0.0
    return right - left + 2 * MARGIN, bottom - top + 2 * MARGIN, MARGIN - left, MARGIN - top


def _label(plan: _Plan, placed: list[_Placed]) -> list[str]:
    """Give each seat a label that is unique in the plan and says row and number: `C7`, else `Balcony-C7`.

    A zone whose plain labels meet those of an earlier zone is prefixed as a whole, so that one zone reads alike.
    """
    plain = [_clean(_row_and_number(p.row, p.seat.seat_number)) or "seat" for p in placed]
    zone_of_label: dict[str, int] = {}
    prefixed = {
        p.zone for p, label in zip(placed, plain, strict=True) if zone_of_label.setdefault(label, p.zone) != p.zone
    }
    labels = _Labels()
    return [
        labels.draw((_clean(plan.zones[p.zone].name) or f"Z{p.zone + 1}") if p.zone in prefixed else "", label)
        for p, label in zip(placed, plain, strict=True)
    ]


def _row_and_number(row: str, number: str) -> str:
    # Row 1 seat 12 and row 11 seat 2 must not both read 112.
    between = "-" if row[-1:].isdigit() and number[:1].isdigit() else ""
    return f"{row}{between}{number}"


def _clean(text: str) -> str:
    """Keep what a label may hold; anything else becomes one dash."""
    return re.sub(r"[^\w.~]+", "-", text).strip("-")


class _Labels:
    """Draws labels, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def draw(self, prefix: str, label: str) -> str:
        """Give `prefix-label` within the length limit, with a `~2`, `~3` ... if somebody has it."""
        # One count per beginning of a label: a file with one number 65,000 times must not take 65,000 tries each.
        beginning = label[: limits.SEAT_LABEL_LENGTH_MAX // 2]
        drawn = self._fit(prefix, label, "")
        while drawn in self._taken:
            self._counts[beginning] = self._counts.get(beginning, 1) + 1
            drawn = self._fit(prefix, label, f"~{self._counts[beginning]}")
        self._taken.add(drawn)
        return drawn

    @staticmethod
    def _fit(prefix: str, label: str, ending: str) -> str:
        tail = label[: limits.SEAT_LABEL_LENGTH_MAX - len(ending)] + ending
        head = prefix[: max(0, limits.SEAT_LABEL_LENGTH_MAX - len(tail) - 1)].rstrip("-")
        return f"{head}-{tail}" if head else tail
