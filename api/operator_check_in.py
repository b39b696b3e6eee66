"""Staff at the door: a ticket is used once, and made valid again when that was a mistake."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import describe
from api.operators import ReasonBody
from api.seat_labels import Hall, read_hall
from api.wire import Body, Input, Timestamp, answer, no_content, rfc3339, rfc3339_of
from engine.errors import InvalidInput, Refusal
from engine.ledger.records import TicketStatus
from engine.limits import GATE_LENGTH_MAX, SHOWTIME_NUMBER_MAX
from engine.runtime import Runtime
from engine.tickets.codes import read_code


class CheckInBody(Input, frozen=True):
    """Which showtime people are let in to, and where."""

    showtime_id: Annotated[int, Meta(ge=1, le=SHOWTIME_NUMBER_MAX)]
    gate: Annotated[str, Meta(min_length=1, max_length=GATE_LENGTH_MAX)]


class CheckInAnswer(msgspec.Struct):
    """A ticket that was used just now: let them in, to this seat. `ticket` is its id, `showtime` a number."""

    ticket: str
    status: TicketStatus
    booking_id: str
    seat: str
    row: str
    number: str
    tier: str
    showtime: int
    movie: str
    auditorium: str
    starts_at: Timestamp
    gate: str
    used_at: Timestamp


CHECK_IN, REASON = Body(CheckInBody), Body(ReasonBody)


@describe(
    {200: CheckInAnswer}, body=CheckInBody, refuses=("ticket_used", "ticket_refunded", "wrong_showtime", "not_found")
)
async def check_in(request: Request) -> Response:
    """Use a ticket: valid once, for its own showtime, while it is not paid back."""
    runtime, identity = _runtime(request), caller(request)
    body = await CHECK_IN.read(request)
    hall = await _hall_of(runtime, body.showtime_id)
    identity.require_cinema(hall.showtime.cinema_id)
    remembered = engine_request(request, identity.subject, body)
    try:
        done = await runtime.ledger.check_in(
            _ticket_id(request), body.showtime_id, body.gate, identity.subject, remembered
        )
    except Refusal as refusal:
        raise _in_times_of_the_wire(refusal) from None
    ticket, seat = done.ticket, hall.layout.seats[done.ticket.seat_index]
    assert ticket.gate is not None
    assert ticket.used_at_ms is not None
    checked = CheckInAnswer(
        ticket=ticket.id,
        status=ticket.status,
        booking_id=ticket.booking_id,
        seat=ticket.seat,
        row=seat.row,
        number=seat.number,
        tier=ticket.tier,
        showtime=ticket.showtime,
        movie=hall.showtime.movie,
        auditorium=hall.showtime.auditorium,
        starts_at=rfc3339_of(hall.showtime.starts_at),
        gate=ticket.gate,
        used_at=rfc3339(ticket.used_at_ms),
    )
    return answer(checked, 200, REPLAYED if done.replayed else None)


@describe({204: None}, body=ReasonBody, refuses=("ticket_refunded",))
async def undo_check_in(request: Request) -> Response:
    """Make a used ticket valid again; 204, and 204 again."""
    runtime, identity = _runtime(request), caller(request)
    body = await REASON.read(request)
    ticket = await runtime.ledger.read_ticket(_ticket_id(request))
    identity.require_cinema((await runtime.catalogue.showtime(ticket.showtime)).cinema_id)
    await runtime.ledger.undo_check_in(UUID(ticket.id), body.reason, identity.subject)
    return no_content()


def _ticket_id(request: Request) -> UUID:
    """Verify the code in the path; `not_found` if it is not one of ours."""
    return read_code(_runtime(request).ticket_keys.public, request.path_params["ticket"]).ticket_id


async def _hall_of(runtime: Runtime, number: int) -> Hall:
    try:
        return await read_hall(runtime.catalogue, number)
    except Refusal:
        raise InvalidInput("/showtime_id", "There is no such showtime.") from None


def _in_times_of_the_wire(refusal: Refusal) -> Refusal:
    """Give a refusal of the ledger with RFC 3339 for Unix ms."""
    details = dict(refusal.details)
    for name in ("starts_at", "used_at"):
        if f"{name}_ms" in details:
            details[name] = rfc3339(details.pop(f"{name}_ms"))
    return Refusal(refusal.code, **details)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
