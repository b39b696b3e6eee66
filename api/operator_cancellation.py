"""A cinema cancels a showtime: the look before, the act itself, and how far what follows from it is."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request, read_key
from api.openapi.describe import describe
from api.operator_catalogue import committed, operated_showtime
from api.operators import Reason
from api.wire import Body, Input, Timestamp, answer, now_ms, rfc3339
from engine.cancelling import close_showtime
from engine.errors import Refusal
from engine.ledger.cancellations import Cancellation
from engine.ledger.records import RefundStatus
from engine.runtime import Runtime


class CancelShowtimeBody(Input, frozen=True):
    """Why; with `dry_run` nothing is done, and the answer tells what would be."""

    reason: Reason
    dry_run: bool = False


class Amount(msgspec.Struct):
    """Money in minor units."""

    amount: int
    currency: str


class CancellationPreviewAnswer(msgspec.Struct):
    """What a cancellation would meet: bookings with tickets or waiting for money, tickets, and money to give back."""

    showtime_id: int
    bookings: int
    tickets: int
    money: list[Amount]


class CancellationAnswer(CancellationPreviewAnswer):
    """A cancelled showtime, and what the cancellation met; `progress` tells how far all of that is."""

    status: Literal["CANCELLED"]
    reason: str
    cancelled_by: str
    cancelled_at: Timestamp
    progress: str


class RefundSumsAnswer(Amount):
    """The refunds of one status and currency: how many, and how much."""

    status: RefundStatus
    refunds: int


class CancellationProgressAnswer(CancellationAnswer):
    """How far a cancellation is.

    `bookings_ended` of `bookings` and `tickets_refunded` of `tickets` are done, `seats_restocked` of these are back in
    stock. `closed_at` is when claims were refused, `done_at` when nothing was left but the way of `refunds` to the
    gateway.
    """

    bookings_ended: int
    tickets_refunded: int
    seats_restocked: int
    refunds: list[RefundSumsAnswer]
    closed_at: Timestamp | None
    done_at: Timestamp | None
    server_time: Timestamp


CANCEL = Body(CancelShowtimeBody)


@describe(
    {202: CancellationAnswer, 200: (CancellationAnswer, CancellationPreviewAnswer)},
    body=CancelShowtimeBody,
    refuses=("showtime_closed", "showtime_frozen"),
    sends=("Location",),
)
async def cancel_showtime(request: Request) -> Response:
    """Cancel a showtime for ever, until a week after its end; 200 if it was cancelled before, and for a dry run.

    Nothing is claimed or sold from here on. Holds end, tickets become REFUNDED, money and seats go back by and by.
    """
    runtime, subject = _runtime(request), caller(request).subject
    body = await CANCEL.read(request)
    showtime = await operated_showtime(request, manager=True)
    if body.dry_run:
        read_key(request)
        return answer(await _look_before(runtime, showtime.id))
    remembered = engine_request(request, subject, body)
    decision = await runtime.ledger.cancel_showtime(subject, showtime.id, body.reason, remembered)
    runtime.catalogue.forget(showtime.id)
    if decision.cancellation.closed_at_ms is None:
        with committed():
            await close_showtime(runtime.ledger, runtime.seats, showtime.id)
    shown = CancellationAnswer(**_of(decision.cancellation))
    headers = {"Location": shown.progress, **(REPLAYED if decision.replayed else {})}
    return answer(shown, 202 if decision.fresh else 200, headers)


@describe({200: CancellationProgressAnswer})
async def read_cancellation(request: Request) -> Response:
    """Tell how far a cancellation is; 404 while the showtime is not cancelled."""
    showtime = await operated_showtime(request)
    cancellation = await _runtime(request).ledger.read_cancellation(showtime.id)
    refunded = max(0, cancellation.tickets - cancellation.tickets_left)
    closed_at_ms, done_at_ms = cancellation.closed_at_ms, cancellation.done_at_ms
    return answer(
        CancellationProgressAnswer(
            **_of(cancellation),
            bookings_ended=max(0, cancellation.bookings - cancellation.bookings_left),
            tickets_refunded=refunded,
            seats_restocked=max(0, refunded - cancellation.seats_left),
            refunds=[
                RefundSumsAnswer(sums.amount_minor, sums.currency, sums.status, sums.refunds)
                for sums in cancellation.refunds
            ],
            closed_at=None if closed_at_ms is None else rfc3339(closed_at_ms),
            done_at=None if done_at_ms is None else rfc3339(done_at_ms),
            server_time=rfc3339(now_ms()),
        )
    )


async def _look_before(runtime: Runtime, showtime: int) -> CancellationAnswer | CancellationPreviewAnswer:
    with suppress(Refusal):
        return CancellationAnswer(**_of(await runtime.ledger.read_cancellation(showtime)))
    met = await runtime.ledger.preview_cancellation(showtime)
    return CancellationPreviewAnswer(showtime, met.bookings, met.tickets, _amounts(met.money))


def _of(cancellation: Cancellation) -> dict[str, Any]:
    return {
        "showtime_id": cancellation.showtime,
        "bookings": cancellation.bookings,
        "tickets": cancellation.tickets,
        "money": _amounts(cancellation.money),
        "status": "CANCELLED",
        "reason": cancellation.reason,
        "cancelled_by": cancellation.cancelled_by,
        "cancelled_at": rfc3339(cancellation.cancelled_at_ms),
        "progress": f"/api/v1/admin/showtimes/{cancellation.showtime}/cancellation",
    }


def _amounts(money: Mapping[str, int]) -> list[Amount]:
    return [Amount(amount_minor, currency) for currency, amount_minor in sorted(money.items())]


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
