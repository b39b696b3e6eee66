"""Seats over HTTP: the seat map of a showtime, what is free, and the compact form with changes since a version."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import viewer
from api.cors import header
from api.openapi.describe import describe
from api.seat_labels import Hall, read_hall
from api.wire import Timestamp, answer, not_modified, query_number, rfc3339, showtime_number
from engine.catalogue.layouts import Seat, Tier
from engine.limits import LAYOUTS_CACHED_MAX, MAP_KEPT_MAX_BYTES, MAPS_KEPT_MAX, SEAT_MAP_VERSION_MAX
from engine.runtime import Runtime
from engine.seats.records import SeatMap
from engine.seats.seat_map import Change, SeatStatus, compact, statuses, summary


class SeatLine(msgspec.Struct):
    """One seat of the map; the price is in minor units."""

    seat: str
    row: str
    number: str
    tier: Tier
    price: int
    status: SeatStatus


class SummaryAnswer(msgspec.Struct):
    """How many seats are in which state; they add up to all seats."""

    available: int
    locked: int
    sold: int
    blocked: int
    in_review: int


class SeatMapAnswer(msgspec.Struct):
    """Every seat with its status, in layout order; `version` grows with every change."""

    showtime_id: int
    version: int
    currency: str
    seats: list[SeatLine]
    summary: SummaryAnswer
    server_time: Timestamp


class AvailableAnswer(msgspec.Struct):
    """The labels of the free seats by tier."""

    showtime_id: int
    version: int
    available: dict[str, list[str]]
    server_time: Timestamp


class AvailabilityAnswer(msgspec.Struct):
    """Bitmaps in base64, in layout order: seat i is byte `i >> 3`, mask `0x80 >> (i & 7)`."""

    showtime_id: int
    version: int
    sold: str
    locked: str
    blocked: str
    in_review: str
    server_time: Timestamp


class ChangesAnswer(msgspec.Struct):
    """What changed since the version asked for: pairs of a seat's index and its status now."""

    showtime_id: int
    version: int
    changes: Sequence[Change]
    server_time: Timestamp


@describe({200: SeatMapAnswer}, refuses=("showtime_frozen",), tagged=True)
async def read_seats(request: Request) -> Response:
    """Give every seat with its status; 304 when the viewer has this version already."""
    runtime = _runtime(request)
    identity = viewer(request)
    subject = identity.subject if identity else None
    hall = await read_hall(runtime.catalogue, showtime_number(request))
    shape = _shape(hall)
    suffix = f"{shape}.{_digest(subject) if subject else 'anonymous'}"
    known = _known_version(request, suffix)
    seat_map = await runtime.seats.read_seats(hall.showtime.id, subject, known)
    headers = {
        "ETag": f'W/"{seat_map.version}.{suffix}"',
        "Cache-Control": "private, no-cache" if subject else "public, no-cache",
        "Vary": "Authorization",
    }
    if seat_map.unchanged:
        return not_modified(headers)
    return answer(_render(hall, seat_map, shape), headers=headers)


@describe({200: AvailableAnswer}, refuses=("showtime_frozen",))
async def read_available(request: Request) -> Response:
    """Give the labels of the seats that are free, by tier."""
    runtime = _runtime(request)
    hall = await read_hall(runtime.catalogue, showtime_number(request))
    seat_map = await runtime.seats.read_seats(hall.showtime.id)
    free: dict[str, list[str]] = {tier: [] for tier in hall.layout.tiers}
    for seat, status in zip(hall.layout.seats, statuses(seat_map), strict=True):
        if status == "AVAILABLE":
            free[seat.tier].append(seat.seat)
    return answer(
        AvailableAnswer(hall.showtime.id, seat_map.version, free, rfc3339(seat_map.now_ms)),
        headers={"Cache-Control": "public, no-cache"},
    )


@describe({200: (AvailabilityAnswer, ChangesAnswer)}, query=("since",), refuses=("showtime_frozen",))
async def read_availability(request: Request) -> Response:
    """Give the map as bitmaps, or with `since` what changed; bitmaps again when `since` is too old to tell."""
    runtime = _runtime(request)
    hall = await read_hall(runtime.catalogue, showtime_number(request))
    since = query_number(request, "since", most=SEAT_MAP_VERSION_MAX)
    changes: Sequence[Change] | None = None
    if since is None:
        seat_map = await runtime.seats.read_seats(hall.showtime.id)
    else:
        seat_map, changes = await runtime.seats.read_changes(hall.showtime.id, since)
    body: AvailabilityAnswer | ChangesAnswer
    number, at = hall.showtime.id, rfc3339(seat_map.now_ms)
    if changes is None:
        body = AvailabilityAnswer(number, seat_map.version, **compact(seat_map), server_time=at)
    else:
        body = ChangesAnswer(number, seat_map.version, changes, at)
    return answer(body, headers={"Cache-Control": "public, no-cache"})


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=6).hexdigest()


def _shape(hall: Hall) -> str:
    """Give a word that differs when anything of the answer does that no version counts: layout, prices, currency."""
    return _digest(f"{hall.layout.version} {sorted(hall.showtime.prices.items())} {hall.showtime.currency}")


def _known_version(request: Request, suffix: str) -> int | None:
    """Give the version that the viewer says it has of this very shape and viewer; None if it says nothing of it."""
    for tag in (header(request.scope, b"if-none-match") or b"").decode("latin-1").split(","):
        version, _, rest = tag.strip().removeprefix("W/").strip('"').partition(".")
        if rest == suffix and version.isascii() and version.isdigit() and int(version) <= SEAT_MAP_VERSION_MAX:
            return int(version)
    return None


def _render(hall: Hall, seat_map: SeatMap, shape: str) -> bytes:
    """Write the answer from pieces of JSON that only lack each seat's status: a stadium has 20,000 seats."""
    head = {"showtime_id": hall.showtime.id, "version": seat_map.version, "currency": hall.showtime.currency}
    tail = {"summary": summary(seat_map), "server_time": rfc3339(seat_map.now_ms)}
    return b'%s,"seats":[%s"}],%s' % (
        msgspec.json.encode(head)[:-1],
        _seat_lines(hall, seat_map, shape),
        msgspec.json.encode(tail)[1:],
    )


_lines_by_seats: OrderedDict[tuple[str, bytes, bytes, bytes], bytes] = OrderedDict()
"""What was written of late. By contents, not by version: a version may come again with others."""


def _seat_lines(hall: Hall, seat_map: SeatMap, shape: str) -> bytes:
    key = (shape, seat_map.sold, seat_map.locked, seat_map.blocked)
    known = None if seat_map.mine else _lines_by_seats.get(key)
    if known is not None:
        _lines_by_seats.move_to_end(key)
        return known
    pieces = _pieces(hall, shape)
    lines = '"},'.join([piece + status for piece, status in zip(pieces, statuses(seat_map), strict=True)]).encode()
    if not seat_map.mine and len(lines) <= MAP_KEPT_MAX_BYTES:
        _lines_by_seats[key] = lines
        if len(_lines_by_seats) > MAPS_KEPT_MAX:
            _lines_by_seats.popitem(last=False)
    return lines


_pieces_by_shape: OrderedDict[str, Sequence[str]] = OrderedDict()


def _pieces(hall: Hall, shape: str) -> Sequence[str]:
    pieces = _pieces_by_shape.get(shape)
    if pieces is None:
        pieces = [_piece(seat, hall.showtime.prices[seat.tier]) for seat in hall.layout.seats]
        _pieces_by_shape[shape] = pieces
        if len(_pieces_by_shape) > LAYOUTS_CACHED_MAX:
            _pieces_by_shape.popitem(last=False)
    return pieces


def _piece(seat: Seat, price_minor: int) -> str:
    fields = {"seat": seat.seat, "row": seat.row, "number": seat.number, "tier": seat.tier, "price": price_minor}
    return msgspec.json.encode({**fields, "status": ""}).decode().removesuffix('"}')
