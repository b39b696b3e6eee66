"""Bookings over HTTP: check-out, reading, cancelling."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.accounts import Email, Locale, Phone
from api.auth import caller
from api.booking_json import BookingAnswer, booking_json
from api.holds import CLAIMS
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import PAGE, describe
from api.seat_labels import in_labels, read_hall, seat_indexes
from api.wire import Body, Input, Page, answer, page, page_cursor, page_limit
from engine.accounts.users import normalise_email
from engine.errors import InvalidInput
from engine.limits import SEAT_LABEL_LENGTH_MAX, SEATS_PER_LAYOUT_MAX, SHOWTIME_NUMBER_MAX
from engine.notifications.reminders import Reminder, Reminders
from engine.orders.records import Booking, Buyer
from engine.runtime import Runtime
from engine.seats.cool_down import cool_down_rule
from engine.seats.ids import parse_hold_id

Seats = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=SEAT_LABEL_LENGTH_MAX)], ...],
    Meta(min_length=1, max_length=SEATS_PER_LAYOUT_MAX),
]


class CheckOutBody(Input, frozen=True):
    """A hold to check out, or seats to claim and check out at once; and where the tickets go.

    `accept_alternative` is understood, and no alternative is ever chosen for a buyer who does not name the seats.
    `remind` asks for a mail before the time to pay is over.
    """

    hold_id: Annotated[str, Meta(max_length=64)] | None = None
    showtime_id: Annotated[int, Meta(ge=1, le=SHOWTIME_NUMBER_MAX)] | None = None
    seats: Seats | None = None
    email: Email | None = None
    phone: Phone | None = None
    locale: Locale | None = None
    accept_alternative: bool = False
    remind: bool = False


class CancelBody(Input, frozen=True):
    """Why, in the customer's words."""

    reason: Annotated[str, Meta(max_length=500)] = ""


CHECK_OUT = Body(CheckOutBody)
CANCEL = Body(CancelBody)


@describe(
    {201: BookingAnswer, 200: BookingAnswer},
    body=CheckOutBody,
    refuses=("not_found", "hold_expired", "booking_expired", "email_required", "hold_limit", "cool_down", *CLAIMS),
    sends=("Location",),
)
async def check_out(request: Request) -> Response:
    """Turn a hold, or seats, into a booking; 200 if the hold was checked out before."""
    body = await CHECK_OUT.read(request)
    identity = caller(request)
    buyer = Buyer(
        subject=identity.subject,
        email=normalise_email(body.email) if body.email else identity.email,
        phone=body.phone,
        locale=body.locale or identity.locale,
        cool_down=cool_down_rule(_runtime(request).settings, identity.role),
    )
    remembered = engine_request(request, identity.subject, body)
    runtime = _runtime(request)
    bookings = runtime.orders.bookings
    if body.hold_id is not None:
        if body.showtime_id is not None or body.seats is not None:
            raise InvalidInput("/hold_id", "Give hold_id, or showtime_id and seats, not both.")
        hall = await read_hall(runtime.catalogue, parse_hold_id(body.hold_id).showtime)
        work = bookings.check_out(body.hold_id, buyer, remembered)
    elif body.showtime_id is None or body.seats is None:
        raise InvalidInput("/hold_id", "Give hold_id, or showtime_id and seats.")
    else:
        hall = await read_hall(runtime.catalogue, body.showtime_id)
        seats = seat_indexes(hall.layout, body.seats, runtime.catalogue.policy(hall.showtime).seats_per_hold_max)
        work = bookings.claim_and_check_out(body.showtime_id, seats, buyer, remembered)
    booking, created = await in_labels(hall.layout, work)
    if body.remind and booking.email:
        await _remind(runtime, booking, buyer)
    headers = {"Location": f"/api/v1/bookings/{booking.id}"}
    if booking.replayed:
        headers.update(REPLAYED)
    return answer(await booking_json(runtime.catalogue, booking), 201 if created else 200, headers)


@describe({200: BookingAnswer}, refuses=("showtime_frozen",))
async def read_booking(request: Request) -> Response:
    """Read a booking of one's own."""
    return answer(await booking_json(_runtime(request).catalogue, await _read(request)))


@describe({200: BookingAnswer}, body=CancelBody, body_optional=True, refuses=("not_cancellable", "showtime_frozen"))
async def cancel(request: Request) -> Response:
    """Cancel a booking before its payment."""
    body = await CANCEL.read(request) if await request.body() else CancelBody()
    runtime, subject = _runtime(request), caller(request).subject
    remembered = engine_request(request, subject, body)
    booking = await runtime.orders.bookings.cancel(request.path_params["booking"], subject, remembered, body.reason)
    return answer(await booking_json(runtime.catalogue, booking), 200, REPLAYED if booking.replayed else None)


@describe({200: Page[BookingAnswer]}, query=PAGE)
async def list_mine(request: Request) -> Response:
    """List one's own bookings, newest first."""
    runtime = _runtime(request)
    after = page_cursor(request, UUID)
    bookings, position = await runtime.orders.bookings.list_bookings(
        caller(request).subject, str(after) if after else None, page_limit(request)
    )
    items = [await booking_json(runtime.catalogue, booking) for booking in bookings]
    return answer(page(items, position))


async def _remind(runtime: Runtime, booking: Booking, buyer: Buyer) -> None:
    """Take down that the buyer wants to be told before the booking lapses; with the ledger away they are not."""
    assert booking.email is not None, "a booking without an address has nobody to remind"
    reminder = Reminder(
        booking_id=booking.id,
        showtime=booking.showtime,
        email=booking.email,
        phone=booking.phone,
        locale=buyer.locale,
        expires_at_ms=booking.expires_at_ms,
        now_ms=booking.now_ms,
    )
    await Reminders(runtime.pool, runtime.seats, runtime.catalogue).take_down(reminder)


async def _read(request: Request) -> Booking:
    return await _runtime(request).orders.bookings.read_booking(request.path_params["booking"], caller(request).subject)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
