"""Refunds over HTTP: what giving tickets back would pay, and giving them back."""

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.booking_json import BookingAnswer, RefundAnswer, booking_json, refund_json
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import describe
from api.wire import Body, Input, Timestamp, answer, invalid_parameter, query_text, rfc3339_of
from engine.errors import InvalidInput
from engine.limits import REFUND_TEXT_LENGTH_MAX, SEATS_PER_HOLD_CEILING
from engine.orders.ticket_refunds import Quote
from engine.runtime import Runtime

TicketId = Annotated[str, Meta(min_length=1, max_length=64)]


class RefundBody(Input, frozen=True):
    """Give tickets back, or all of the booking's; `expected_amount` is the quote that the customer has agreed to."""

    reason: Annotated[str, Meta(min_length=1, max_length=REFUND_TEXT_LENGTH_MAX)]
    tickets: Annotated[tuple[TicketId, ...], Meta(min_length=1, max_length=SEATS_PER_HOLD_CEILING)] | None = None
    expected_amount: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None


class QuotedTicketAnswer(msgspec.Struct):
    """A ticket, and what giving it back pays."""

    id: str
    seat: str
    price: int
    amount: int


class QuoteAnswer(msgspec.Struct):
    """What giving tickets back pays until `valid_until`: `percent` of their prices, by the tier in `rule`."""

    amount: int
    currency: str
    percent: int
    rule: str
    valid_until: Timestamp
    tickets: list[QuotedTicketAnswer]
    server_time: Timestamp


class RefundedAnswer(msgspec.Struct):
    """The refund, and the booking as it is with it."""

    refund: RefundAnswer
    booking: BookingAnswer


REFUND = Body(RefundBody)


@describe({200: QuoteAnswer}, query=("tickets",), refuses=("not_refundable", "showtime_frozen"))
async def quote_refund(request: Request) -> Response:
    """Say what giving tickets back would pay now: `?tickets=` ids by comma, or all that are SOLD."""
    text = query_text(request, "tickets")
    tickets = text.split(",") if text else None
    refunds = _runtime(request).orders.ticket_refunds
    try:
        quote = await refunds.quote(request.path_params["booking"], caller(request).subject, tickets)
    except InvalidInput as error:
        raise invalid_parameter("tickets", error.details["errors"][0]["detail"]) from None
    return answer(_quote_json(quote))


@describe(
    {202: RefundedAnswer},
    body=RefundBody,
    refuses=("not_refundable", "quote_changed", "showtime_frozen"),
)
async def refund_tickets(request: Request) -> Response:
    """Give tickets back. The money is on its way when this answers, and the seats are free, or will be in a moment."""
    body = await REFUND.read(request)
    runtime, subject = _runtime(request), caller(request).subject
    done = await runtime.orders.ticket_refunds.refund(
        request.path_params["booking"],
        subject,
        body.tickets,
        body.reason,
        body.expected_amount,
        engine_request(request, subject, body),
    )
    refund = next(refund for refund in done.booking.refunds if refund.id == done.refund_id)
    refunded = RefundedAnswer(refund_json(refund), await booking_json(runtime.catalogue, done.booking))
    return answer(refunded, 202, REPLAYED if done.replayed else None)


def _quote_json(quote: Quote) -> QuoteAnswer:
    return QuoteAnswer(
        amount=quote.amount_minor,
        currency=quote.currency,
        percent=quote.percent,
        rule=quote.rule,
        valid_until=rfc3339_of(quote.valid_until),
        tickets=[
            QuotedTicketAnswer(ticket.id, ticket.seat, ticket.price_minor, amount_minor)
            for ticket, amount_minor in quote.tickets
        ],
        server_time=rfc3339_of(quote.now),
    )


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
