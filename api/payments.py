"""Payments over HTTP: begin one, list them, take the gateway's events."""

import time
from http import HTTPStatus
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.booking_json import PaymentAnswer, payment_json
from api.holds import ON_SALE
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import describe
from api.wire import Body, Input, Page, answer, page
from engine.errors import InvalidInput, Refusal, Unavailable
from engine.ledger.requests import once, recall
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.protocol import PaymentEvent
from engine.orders.orders import Orders
from engine.settings import Settings

# Printable ASCII without the backslash, which browsers read as a slash.
Url = Annotated[str, Meta(max_length=2000, pattern=r"^[\x21-\x5b\x5d-\x7e]+$(?!\n)")]


class PaymentBody(Input, frozen=True):
    """Where the gateway's page leads when the customer is done, or gives up."""

    return_url: Url | None = None
    cancel_url: Url | None = None


class SimulateBody(Input, frozen=True):
    """How the fake gateway is to end a session."""

    outcome: Literal["success", "failed", "expired"]


class EventAnswer(msgspec.Struct):
    """The event's outcome is durable."""

    status: Literal["processed"] = "processed"


class SimulateAnswer(msgspec.Struct):
    """How the session ended, and what our webhook answered to the gateway."""

    session_id: str
    outcome: Literal["success", "failed", "expired"]
    webhook_status: int


PAYMENT = Body(PaymentBody)
SIMULATE = Body(SimulateBody)


@describe(
    {201: PaymentAnswer, 200: PaymentAnswer},
    body=PaymentBody,
    body_optional=True,
    refuses=("not_payable", "already_paid", "booking_expired", "gateway_unavailable", *ON_SALE),
)
async def begin_payment(request: Request) -> Response:
    """Open a payment session, or give the live one again."""
    body = await PAYMENT.read(request) if await request.body() else PaymentBody()
    allowed = _allowed_origins(request.app.state.settings)
    _check_origin(body.return_url, "/return_url", allowed)
    _check_origin(body.cancel_url, "/cancel_url", allowed)
    subject = caller(request).subject
    begun = await _orders(request).payments.begin_payment(
        request.path_params["booking"],
        subject,
        body.return_url,
        body.cancel_url,
        engine_request(request, subject, body),
    )
    return answer(payment_json(begun.payment), 201 if begun.created else 200, REPLAYED if begun.replayed else None)


@describe({200: Page[PaymentAnswer]}, refuses=("showtime_frozen",))
async def list_payments(request: Request) -> Response:
    """List the payments of a booking, oldest first; a booking has few, so there is one page."""
    booking = await _orders(request).bookings.read_booking(request.path_params["booking"], caller(request).subject)
    return answer(page([payment_json(payment) for payment in booking.payments]))


@describe(
    {200: EventAnswer},
    body=PaymentEvent,
    refuses=("bad_signature", "stale_signature", "gateway_unavailable", "showtime_frozen"),
    signed=True,
)
async def receive_event(request: Request) -> Response:
    """Take an event of the gateway; 200 says that its outcome is durable."""
    await _orders(request).payments.handle_event(request.headers, await request.body(), time.time())
    return answer(EventAnswer())


@describe({200: SimulateAnswer}, body=SimulateBody, refuses=("not_payable", "gateway_unavailable"))
async def simulate_outcome(request: Request) -> Response:
    """Let the fake gateway end a session; answers after the webhook did. Who knows a session's id may pay it."""
    body = await SIMULATE.read(request)
    gateway = _orders(request).gateway
    if not request.app.state.settings.simulate_payments or not isinstance(gateway, FakeGateway):
        raise Refusal("not_found")
    session_id = request.path_params["session"]
    pool, remembered = request.app.state.runtime.pool, engine_request(request, "", body)
    if (known := await recall(pool, remembered)) is not None:
        return answer(msgspec.convert(known, SimulateAnswer), 200, REPLAYED)
    simulated = await gateway.simulate(session_id, body.outcome)
    if simulated.webhook_status is None or simulated.webhook_status != HTTPStatus.OK:
        said = simulated.webhook_status or "nothing"
        raise Unavailable(
            "gateway_unavailable", f"The webhook answered {said}; the event comes again.", outcome="unknown"
        )
    ended = SimulateAnswer(session_id, simulated.outcome or body.outcome, simulated.webhook_status)
    async with once(pool, remembered) as run:
        run.answer = msgspec.to_builtins(ended)
    return answer(ended)


def _orders(request: Request) -> Orders:
    orders: Orders = request.app.state.runtime.orders
    return orders


def _allowed_origins(settings: Settings) -> set[str]:
    """Give the origins of the pages that a payment may lead back to."""
    listed = [*settings.return_url_origins.split(","), settings.public_url]
    return {origin for text in listed if (origin := _origin(text.strip()))}


def _check_origin(url: str | None, pointer: str, allowed: set[str]) -> None:
    if url is not None and _origin(url) not in allowed:
        raise InvalidInput(pointer, "This address is not on the list of pages that a payment may lead back to.")


def _origin(url: str) -> str | None:
    """Give scheme, host and port of an address; None for what is no plain http(s) address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    default = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{parts.hostname}:{port or default}"
