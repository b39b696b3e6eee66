"""E-tickets over HTTP: the codes of a booking's tickets, their pictures and documents, the keys that verify them.

Whoever has a code may see its ticket: it is what the customer shows at the door, and passes on to friends.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.booking_json import TicketAnswer, ticket_json
from api.openapi.describe import describe
from api.seat_labels import Hall, read_hall
from api.wire import Page, answer, invalid_parameter, page, query_text
from engine.errors import Refusal
from engine.ledger.check_ins import DoorTicket
from engine.orders.e_tickets import code_of, e_ticket, is_shown, is_valid
from engine.runtime import Runtime
from engine.tickets.codes import read_code
from engine.tickets.records import ETicket, Size

PDF, SVG, PNG, ICS = "application/pdf", "image/svg+xml", "image/png", "text/calendar"
SIZES: Mapping[str | None, Size | None] = {None: None, "phone": "phone", "a4": "a4"}
NO_STORE = {"Cache-Control": "no-store"}


class TicketLinks(msgspec.Struct):
    """Where a ticket can be had: as a picture of its QR, to print, for a calendar."""

    svg: str
    png: str
    pdf: str
    ics: str


class ETicketAnswer(TicketAnswer):
    """A ticket with its code, which opens the door while `valid`; a ticket that was paid back has none."""

    valid: bool
    code: str | None
    links: TicketLinks | None


class TicketKeyAnswer(msgspec.Struct):
    """One public key (JWK, RFC 8037)."""

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    use: Literal["sig"]
    kid: str
    x: str


class TicketKeysAnswer(msgspec.Struct):
    """The keys whose signature makes a code a ticket; `kid` is the second byte of a code."""

    keys: list[TicketKeyAnswer]


@describe({200: Page[ETicketAnswer]}, refuses=("showtime_frozen",))
async def list_tickets(request: Request) -> Response:
    """List the tickets of a booking of one's own, with their codes; none before it is CONFIRMED."""
    runtime = _runtime(request)
    subject = caller(request).subject
    booking = await runtime.orders.bookings.read_booking(request.path_params["booking"], subject)
    layout = (await read_hall(runtime.catalogue, booking.showtime)).layout
    showtime = await runtime.catalogue.read_showtime(booking.showtime)
    items = []
    for ticket in booking.tickets:
        code = code_of(runtime.ticket_keys, showtime, ticket) if is_shown(showtime, ticket) else None
        items.append(
            ETicketAnswer(
                **msgspec.structs.asdict(ticket_json(layout, ticket)),
                valid=is_valid(showtime, ticket),
                code=code,
                links=_links(request, code) if code else None,
            )
        )
    return answer(page(items), 200, NO_STORE)


@describe({200: PDF}, query=("size",), refuses=("ticket_void",))
async def read_ticket_pdf(request: Request) -> Response:
    """Print a ticket: a page for a phone, and one of A4; `?size=` for one of them."""
    size = query_text(request, "size")
    if size not in SIZES:
        raise invalid_parameter("size", "Expected phone or a4.")
    ticket = await _read_e_ticket(request)
    return _file(await _runtime(request).press.pdf([ticket], SIZES[size]), PDF, ticket.ticket_id)


@describe({200: ICS}, refuses=("ticket_void",))
async def read_ticket_ics(request: Request) -> Response:
    """Give a ticket's show as a calendar entry, in the cinema's time zone."""
    ticket = await _read_e_ticket(request)
    return _file(await _runtime(request).press.ics([ticket]), ICS, ticket.ticket_id)


@describe({200: SVG}, refuses=("ticket_void",))
async def read_ticket_svg(request: Request) -> Response:
    """Draw a ticket's QR as an SVG."""
    ticket = await _read_ticket(request)
    return _file(await _runtime(request).press.svg(request.path_params["ticket"]), SVG, ticket.id)


@describe({200: PNG}, refuses=("ticket_void",))
async def read_ticket_png(request: Request) -> Response:
    """Draw a ticket's QR as a PNG."""
    ticket = await _read_ticket(request)
    return _file(await _runtime(request).press.png(request.path_params["ticket"]), PNG, ticket.id)


@describe({200: TicketKeysAnswer})
async def read_ticket_keys(request: Request) -> Response:
    """Give the public keys that verify tickets, for scanners without a network."""
    keys = msgspec.convert(_runtime(request).ticket_keys.published(), TicketKeysAnswer)
    return answer(keys, 200, {"Cache-Control": "public, max-age=300"})


async def _read_ticket(request: Request) -> DoorTicket:
    """Read the ticket of the code in the path.

    Raises:
        Refusal: `not_found`, also for a forged code; `ticket_void` once its money goes back.
    """
    runtime = _runtime(request)
    said = read_code(runtime.ticket_keys.public, request.path_params["ticket"])
    ticket = await runtime.ledger.read_ticket(said.ticket_id)
    if ticket.paid_back:
        raise Refusal("ticket_void")
    return ticket


async def _read_e_ticket(request: Request) -> ETicket:
    ticket = await _read_ticket(request)
    runtime = _runtime(request)
    hall: Hall = await read_hall(runtime.catalogue, ticket.showtime)
    filled = e_ticket(runtime.ticket_keys, hall.showtime, hall.layout, ticket, ticket.booking_id, ticket.locale)
    # Its holder sees the code that was asked for, also when another key signs by now.
    return msgspec.structs.replace(filled, code=request.path_params["ticket"])


def _file(content: bytes, media_type: str, ticket_id: str) -> Response:
    ending = {PDF: "pdf", SVG: "svg", PNG: "png", ICS: "ics"}[media_type]
    headers = {**NO_STORE, "Content-Disposition": f'inline; filename="ticket-{ticket_id}.{ending}"'}
    return Response(content, 200, headers, media_type)


def _links(request: Request, code: str) -> TicketLinks:
    base = f"{request.app.state.settings.home_url}/api/v1/tickets/{code}"
    return TicketLinks(f"{base}.svg", f"{base}.png", f"{base}.pdf", f"{base}.ics")


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
