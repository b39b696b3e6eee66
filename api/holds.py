"""Holds over HTTP: claim seats, read, change, extend and release the hold. The claim is the busiest writer of all."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import describe
from api.seat_labels import Hall, in_labels, read_hall, seat_indexes
from api.wire import Body, Input, Timestamp, answer, no_content, now_ms, rfc3339, showtime_number
from engine.errors import InvalidInput, Refusal
from engine.ledger.records import BookedSeat, Booking
from engine.limits import SEAT_LABEL_LENGTH_MAX, SEATS_PER_HOLD_CEILING
from engine.orders.pricing import prices_of
from engine.orders.records import Booking as OwnBooking
from engine.orders.records import BookingStatus
from engine.runtime import Runtime
from engine.seats.cool_down import cool_down_rule
from engine.seats.ids import HoldId, parse_hold_id
from engine.seats.records import Hold

Label = Annotated[str, Meta(min_length=1, max_length=SEAT_LABEL_LENGTH_MAX)]


class ClaimBody(Input, frozen=True):
    """Which seats, by their labels."""

    seats: Annotated[tuple[Label, ...], Meta(min_length=1)]


class ChangeBody(Input, frozen=True):
    """Which seats to add to a hold and which to take off it."""

    add: tuple[Label, ...] = ()
    remove: tuple[Label, ...] = ()


class SeatAnswer(msgspec.Struct):
    """One seat of a hold; the price is in minor units."""

    seat: str
    tier: str
    price: int


class HoldAnswer(msgspec.Struct, omit_defaults=True):
    """A hold on the wire; once it was checked out, with the status of the booking that it became."""

    id: str
    showtime_id: int
    seats: list[SeatAnswer]
    amount: int
    currency: str
    status: BookingStatus
    expires_at: Timestamp
    expires_in_ms: int
    server_time: Timestamp
    extensions_left: int | None = None
    extendable_until: Timestamp | None = None


CREATED = 201
CLAIM = Body(ClaimBody)
CHANGE = Body(ChangeBody)

ON_SALE = ("showtime_closed", "not_on_sale", "showtime_frozen")
"""Refusals of whatever takes seats or keeps them."""
CLAIMS = ("seats_taken", "seat_limit", "unknown_seat", "duplicate_seat", "too_many_seats", *ON_SALE)
"""Refusals of whatever takes seats."""


@describe({201: HoldAnswer}, body=ClaimBody, refuses=("hold_limit", "cool_down", *CLAIMS), sends=("Location",))
async def claim_seats(request: Request) -> Response:
    """Claim seats of a showtime, all or none."""
    runtime = _runtime(request)
    identity = caller(request)
    subject = identity.subject
    number = showtime_number(request)
    body = await CLAIM.read(request)
    hall = await read_hall(runtime.catalogue, number)
    seats = seat_indexes(hall.layout, body.seats, _seats_max(runtime, hall, body.seats))
    remembered = engine_request(request, subject, body)
    claim = runtime.seats.claim_seats(
        number, subject, seats, remembered, cool_down_rule(runtime.settings, identity.role)
    )
    hold = await in_labels(hall.layout, claim, partial(runtime.alternatives.find, number, seats))
    return _answer(hall, hold, CREATED)


@describe({200: HoldAnswer}, refuses=("hold_expired", "showtime_frozen"))
async def read_hold(request: Request) -> Response:
    """Show a hold to its owner, or the booking that it became."""
    runtime = _runtime(request)
    subject = caller(request).subject
    hold_id = _hold_id(request)
    try:
        hold = await runtime.seats.read_hold(hold_id, subject)
    except Refusal as refusal:
        booking = await runtime.ledger.read_booking(str(hold_id))
        if booking is None or booking.subject != subject:
            raise refusal from None
        if booking.status != "PENDING" or booking.settling:
            return answer(_from_booking(booking))
        if refusal.details.get("showtime_status") != "CANCELLED":
            raise refusal from None
    else:
        if not hold.showtime_cancelled:
            return _answer(await read_hall(runtime.catalogue, hold.showtime), hold, 200)
    return answer(_from_booking(await runtime.orders.bookings.read_booking(str(hold_id), subject)))


@describe({200: HoldAnswer}, body=ChangeBody, refuses=("hold_expired", "payment_open", "empty_hold", *CLAIMS))
async def change_hold(request: Request) -> Response:
    """Add seats to a hold and take seats off it, all or nothing."""
    runtime = _runtime(request)
    subject = caller(request).subject
    hold_id = _hold_id(request)
    body = await CHANGE.read(request)
    if not body.add and not body.remove:
        raise InvalidInput("", "Name at least one seat to `add` or to `remove`.")
    hall = await read_hall(runtime.catalogue, hold_id.showtime)
    add = seat_indexes(hall.layout, body.add, _seats_max(runtime, hall, body.add), "/add")
    remove = seat_indexes(hall.layout, body.remove, _seats_max(runtime, hall, body.remove), "/remove")
    _require_apart(body.add, body.remove)
    remembered = engine_request(request, subject, body)
    change = runtime.seats.change_hold(hold_id, subject, add, remove, remembered)
    hold = await in_labels(hall.layout, change, partial(runtime.alternatives.find, hold_id.showtime, add))
    return _answer(hall, hold, 200)


@describe({200: HoldAnswer}, refuses=("hold_expired", "cannot_extend", *ON_SALE))
async def extend_hold(request: Request) -> Response:
    """Give a hold its full time again."""
    runtime = _runtime(request)
    subject = caller(request).subject
    hold_id = _hold_id(request)
    hall = await read_hall(runtime.catalogue, hold_id.showtime)
    remembered = engine_request(request, subject)
    hold = await in_labels(hall.layout, runtime.seats.extend_hold(hold_id, subject, remembered))
    return _answer(hall, hold, 200)


@describe({204: None}, refuses=("not_cancellable", "showtime_frozen"))
async def release_hold(request: Request) -> Response:
    """Give the seats back at once; a repeat is harmless. What was checked out is cancelled as the booking it is."""
    runtime = _runtime(request)
    subject = caller(request).subject
    hold_id = _hold_id(request)
    found = await runtime.seats.give_back_hold(hold_id, subject)
    if found == "is_booking":
        await runtime.orders.bookings.cancel(str(hold_id), subject)
    elif found == "gone":
        try:
            await runtime.seats.read_hold(hold_id, subject)
        except Refusal as refusal:
            if refusal.code != "hold_expired":
                raise
    return no_content()


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def _hold_id(request: Request) -> HoldId:
    return parse_hold_id(request.path_params["hold"])


def _seats_max(runtime: Runtime, hall: Hall, labels: Sequence[str]) -> int:
    """Give how many seats may be named; the script judges by the policy, so most requests need not work it out."""
    if len(labels) <= SEATS_PER_HOLD_CEILING:
        return SEATS_PER_HOLD_CEILING
    return runtime.catalogue.policy(hall.showtime).seats_per_hold_max


def _require_apart(add: Sequence[str], remove: Sequence[str]) -> None:
    for place, label in enumerate(remove):
        if label in add:
            raise InvalidInput(f"/remove/{place}", f"Seat {label} is named twice.", code="duplicate_seat", seat=label)


def _answer(hall: Hall, hold: Hold, status: int) -> Response:
    headers = dict(REPLAYED) if hold.replayed else {}
    if status == CREATED:
        headers["Location"] = f"/api/v1/holds/{hold.id}"
    return answer(hold_json(hall, hold), status, headers)


def hold_json(hall: Hall, hold: Hold) -> HoldAnswer:
    """Build a live hold."""
    prices, currency = prices_of(hall.showtime, hold)
    seats, amount = [], 0
    for index in hold.seats:
        seat = hall.layout.seats[index]
        price = prices[seat.tier]
        seats.append(SeatAnswer(seat.seat, seat.tier, price))
        amount += price
    return HoldAnswer(
        id=hold.id,
        showtime_id=hold.showtime,
        seats=seats,
        amount=amount,
        currency=currency,
        status=hold.status,
        expires_at=rfc3339(hold.deadline_ms),
        expires_in_ms=max(0, hold.deadline_ms - hold.now_ms),
        server_time=rfc3339(hold.now_ms),
        extensions_left=hold.extensions_left,
        extendable_until=rfc3339(hold.extendable_until_ms),
    )


def _from_booking(booking: Booking | OwnBooking) -> HoldAnswer:
    at_ms = now_ms()
    return HoldAnswer(
        id=booking.id,
        showtime_id=booking.showtime,
        seats=_seats(booking.seats),
        amount=booking.amount_minor,
        currency=booking.currency,
        status=booking.status,
        expires_at=rfc3339(booking.expires_at_ms),
        expires_in_ms=max(0, booking.expires_at_ms - at_ms),
        server_time=rfc3339(at_ms),
    )


def _seats(seats: Sequence[BookedSeat]) -> list[SeatAnswer]:
    return [SeatAnswer(seat.seat, seat.tier, seat.price_minor) for seat in seats]
