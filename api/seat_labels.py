"""Between the labels of the wire (`C7`) and the indexes of the seat engine; and refusals in the caller's words."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from api.wire import rfc3339
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.layouts import Layout
from engine.catalogue.records import Showtime
from engine.errors import InvalidInput, Refusal
from engine.limits import SHOWTIMES_CACHED_MAX

T = TypeVar("T")


class Hall(NamedTuple):
    """A showtime with the layout of its seats.

    Attributes:
        shape: differs when anything of a seat map does that no version counts: layout, prices, currency.
    """

    showtime: Showtime
    layout: Layout
    shape: str


async def read_hall(catalogue: Catalogue, number: int) -> Hall:
    """Give a showtime and its layout, from memory where they are there.

    Raises:
        Refusal: `not_found`.
        Unavailable: `ledger_unavailable`, and this process has never seen the showtime.
    """
    showtime = await catalogue.showtime(number)
    layout = await catalogue.layout(showtime.layout_id)
    hall = _halls.get(number)
    if hall is None or hall.showtime is not showtime or hall.layout is not layout:
        hall = _halls[number] = Hall(showtime, layout, _shape(showtime, layout))
        _halls.move_to_end(number)
        if len(_halls) > SHOWTIMES_CACHED_MAX:
            _halls.popitem(last=False)
    return hall


_halls: OrderedDict[int, Hall] = OrderedDict()
"""What was made of a showtime and a layout that are still the ones in the catalogue's memory."""


def _shape(showtime: Showtime, layout: Layout) -> str:
    prices = sorted(showtime.prices.items())
    return blake2b(f"{layout.version} {prices} {showtime.currency}".encode(), digest_size=6).hexdigest()


def seat_indexes(layout: Layout, labels: Sequence[str], seats_max: int, pointer: str = "/seats") -> list[int]:
    """Give the indexes of seats, in the order asked.

    Args:
        layout: of the showtime.
        labels: as the caller wrote them.
        seats_max: how many a hold may have.
        pointer: JSON pointer of the list in the body.

    Raises:
        InvalidInput: `too_many_seats`, `duplicate_seat` or `unknown_seat`, pointing at the first wrong one.
    """
    if len(labels) > seats_max:
        raise InvalidInput(pointer, f"At most {seats_max} seats.", code="too_many_seats", seats_per_hold_max=seats_max)
    index_of = layout.index_of
    indexes: list[int] = []
    for place, label in enumerate(labels):
        index = index_of.get(label)
        if index is None:
            raise InvalidInput(
                f"{pointer}/{place}", f"The layout has no seat {label}.", code="unknown_seat", seat=label
            )
        if index in indexes:
            raise InvalidInput(f"{pointer}/{place}", f"Seat {label} is named twice.", code="duplicate_seat", seat=label)
        indexes.append(index)
    return indexes


async def in_labels(
    layout: Layout, call: Awaitable[T], alternatives: Callable[[], Awaitable[list[list[str]]]] | None = None
) -> T:
    """Wait for a call of the seat engine; its refusals come out in the words of the wire.

    Args:
        layout: of the showtime.
        call: to the seat engine, or to what passes its refusals on.
        alternatives: finds other seats when some are taken.
    """
    try:
        return await call
    except Refusal as refusal:
        others = await alternatives() if alternatives and refusal.code == "seats_taken" else []
        raise translated(refusal, layout, others) from None


def translated(refusal: Refusal, layout: Layout, alternatives: Sequence[Sequence[str]] = ()) -> Refusal:
    """Give a refusal of the seat engine in the words of the wire: labels for indexes, RFC 3339 for Unix ms."""
    details = refusal.details
    match refusal.code:
        case "seats_taken":
            return Refusal(
                "seats_taken",
                seats=[_taken(entry, layout) for entry in details["seats"]],
                retry_after_ms=details.get("retry_after_ms"),
                alternatives=alternatives,
            )
        case "not_on_sale":
            return Refusal("not_on_sale", sales_open_at=rfc3339(details["sales_open_ms"]))
        case _:
            return refusal


def _taken(entry: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Name the seat and why it is taken; whose it is stays unsaid, but for the caller's own hold."""
    taken = {"seat": layout.seats[entry["seat"]].seat, "reason": entry["reason"]}
    if "hold_id" in entry:
        taken["hold_id"] = entry["hold_id"]
    return taken
