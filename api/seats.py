"""Seats over HTTP: the seat map of a showtime, what is free, and the compact form with changes since a version."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
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
from engine.limits import (
    LAYOUTS_CACHED_MAX,
    MAP_KEPT_MAX_BYTES,
    MAPS_KEPT_MAX,
    SEAT_MAP_VERSION_MAX,
    SUBJECTS_REMEMBERED_MAX,
)
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
    suffix = f"{hall.shape}.{_digest(subject) if subject else 'anonymous'}"
    known = _known_version(request, suffix)
    seat_map = await runtime.seats.read_seats(hall.showtime.id, subject, known)
    headers = {
        "ETag": f'W/"{seat_map.version}.{suffix}"',
        "Cache-Control": "private, no-cache" if subject else "public, no-cache",
        "Vary": "Authorization",
    }
    if seat_map.unchanged:
        return not_modified(headers)
    return answer(_render(hall, seat_map), headers=headers)


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
    number, at = hall.showtime.id, rfc3339(seat_map.now_ms)
    body: bytes | ChangesAnswer
    if changes is None:
        maps = _compact(seat_map.sold, seat_map.locked, seat_map.blocked, seat_map.seats)
        body = b'{"showtime_id":%d,"version":%d,%b,"server_time":"%b"}' % (number, seat_map.version, maps, at.encode())
    else:
        body = ChangesAnswer(number, seat_map.version, changes, at)
    return answer(body, headers={"Cache-Control": "public, no-cache"})


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


@lru_cache(SUBJECTS_REMEMBERED_MAX)
def _digest(subject: str) -> str:
    return blake2b(subject.encode(), digest_size=6).hexdigest()


def _known_version(request: Request, suffix: str) -> int | None:
    """Give the version that the viewer says it has of this very shape and viewer; None if it says nothing of it."""
    for tag in (header(request.scope, b"if-none-match") or b"").decode("latin-1").split(","):
        version, _, rest = tag.strip().removeprefix("W/").strip('"').partition(".")
        if rest == suffix and version.isascii() and version.isdigit() and int(version) <= SEAT_MAP_VERSION_MAX:
            return int(version)
    return None


def _render(hall: Hall, seat_map: SeatMap) -> bytes:
    """Write the answer from pieces of JSON that only lack each seat's status: a stadium has 20,000 seats."""
    return b'{"showtime_id":%d,"version":%d,"currency":"%b",%b,"server_time":"%b"}' % (
        hall.showtime.id,
        seat_map.version,
        hall.showtime.currency.encode(),
        _seats_and_summary(hall, seat_map),
        rfc3339(seat_map.now_ms).encode(),
    )


_written: OrderedDict[tuple[str, bytes, bytes, bytes], bytes] = OrderedDict()
"""What was written of late. By contents, not by version: a version may come again with others."""


def _seats_and_summary(hall: Hall, seat_map: SeatMap) -> bytes:
    key = (hall.shape, seat_map.sold, seat_map.locked, seat_map.blocked)
    known = None if seat_map.mine else _written.get(key)
    if known is not None:
        _written.move_to_end(key)
        return known
    lines = '"},'.join([piece + status for piece, status in zip(_pieces(hall), statuses(seat_map), strict=True)])
    written = b'"seats":[%b"}],"summary":%b' % (lines.encode(), msgspec.json.encode(summary(seat_map)))
    if not seat_map.mine and len(written) <= MAP_KEPT_MAX_BYTES:
        _written[key] = written
        if len(_written) > MAPS_KEPT_MAX:
            _written.popitem(last=False)
    return written


@lru_cache(MAPS_KEPT_MAX)
def _compact(sold: bytes, locked: bytes, blocked: bytes, seats: int) -> bytes:
    """Write the bitmaps of the compact answer."""
    return msgspec.json.encode(compact(sold, locked, blocked, seats))[1:-1]


_pieces_by_shape: OrderedDict[str, Sequence[str]] = OrderedDict()


def _pieces(hall: Hall) -> Sequence[str]:
    pieces = _pieces_by_shape.get(hall.shape)
    if pieces is None:
        pieces = [_piece(seat, hall.showtime.prices[seat.tier]) for seat in hall.layout.seats]
        _pieces_by_shape[hall.shape] = pieces
        if len(_pieces_by_shape) > LAYOUTS_CACHED_MAX:
            _pieces_by_shape.popitem(last=False)
    return pieces


def _piece(seat: Seat, price_minor: int) -> str:
    fields = {"seat": seat.seat, "row": seat.row, "number": seat.number, "tier": seat.tier, "price": price_minor}
    return msgspec.json.encode({**fields, "status": ""}).decode().removesuffix('"}')
