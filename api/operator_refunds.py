"""Refunds as operators see them: every attempt and its error, another try, and settling by hand."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import PAGE, describe
from api.operator_catalogue import cinemas_of
from api.wire import (
    Body,
    Input,
    Page,
    Timestamp,
    answer,
    page,
    page_cursor,
    page_limit,
    query_number,
    query_word,
    rfc3339,
)
from engine.accounts.tokens import Identity
from engine.errors import Refusal
from engine.ledger.records import AttemptOutcome, RefundAttempt, RefundDetails, RefundStatus
from engine.limits import REFUND_TEXT_LENGTH_MAX
from engine.runtime import Runtime

Words = Annotated[str, Meta(min_length=1, max_length=REFUND_TEXT_LENGTH_MAX)]


class RetryBody(Input, frozen=True):
    """Why the gateway is to be asked again; it is written down."""

    reason: Words = "retry"


class SettleBody(Input, frozen=True):
    """How the money was paid: by whom, from where, under which reference."""

    note: Words


class RefundedTicketAnswer(msgspec.Struct):
    """What a refund pays for one ticket."""

    id: str
    seat: str
    amount: int


class OperatorRefundAnswer(msgspec.Struct):
    """A refund; no booking, showtime and cinema for money of a session that nobody knows.

    `reason` is a word, `comment` what the customer or the cinema wrote, `due_at` when the gateway is asked next.
    """

    id: str
    status: RefundStatus
    amount: int
    currency: str
    reason: str
    comment: str | None
    booking_id: str | None
    showtime_id: int | None
    cinema_id: int | None
    gateway: str
    session_id: str
    gateway_refund: str | None
    failure_code: str | None
    attempts: int
    due_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp
    settled_at: Timestamp | None
    settled_by: str | None
    note: str | None
    tickets: list[RefundedTicketAnswer]


class RefundAttemptAnswer(msgspec.Struct):
    """One time that the gateway was asked; UNKNOWN: nobody can say what it did, so it is asked again."""

    attempt: int
    outcome: AttemptOutcome | None
    error: str | None
    begun_at: Timestamp
    ended_at: Timestamp | None


class RefundHistoryAnswer(OperatorRefundAnswer):
    """A refund with every time that the gateway was asked, oldest first."""

    history: list[RefundAttemptAnswer]


RETRY, SETTLE = Body(RetryBody), Body(SettleBody)


@describe({200: Page[OperatorRefundAnswer]}, query=("status", "cinema", *PAGE))
async def list_refunds(request: Request) -> Response:
    """List refunds, newest first: `?status=MANUAL` are those that wait for a person; staff see their cinemas'."""
    runtime, identity = _runtime(request), caller(request)
    cinemas = cinemas_of(identity)
    cinema = query_number(request, "cinema", least=1, most=2**31 - 1)
    if cinema is not None:
        identity.require_cinema(cinema)
        cinemas = [cinema]
    after = page_cursor(request, UUID)
    refunds, position = await runtime.ledger.list_refunds(
        query_word(request, "status", RefundStatus), cinemas, str(after) if after else None, page_limit(request)
    )
    return answer(page([OperatorRefundAnswer(**_fields(refund)) for refund in refunds], position))


@describe({200: RefundHistoryAnswer})
async def read_refund(request: Request) -> Response:
    """Read a refund with every attempt and its error."""
    refund, attempts = await _runtime(request).ledger.read_refund(
        request.path_params["refund"], partial(_permit, caller(request), manager=False)
    )
    return answer(RefundHistoryAnswer(**_fields(refund), history=[_attempt_json(attempt) for attempt in attempts]))


@describe({200: OperatorRefundAnswer}, body=RetryBody, body_optional=True, refuses=("refund_not_manual",))
async def retry_refund(request: Request) -> Response:
    """Have the gateway asked again for a MANUAL refund, as often as the first time; attempts are counted on."""
    body = await RETRY.read(request) if await request.body() else RetryBody()
    identity = caller(request)
    refund, replayed = await _runtime(request).ledger.retry_refund(
        request.path_params["refund"],
        identity.subject,
        body.reason,
        partial(_permit, identity, manager=False),
        engine_request(request, identity.subject, body),
    )
    return answer(OperatorRefundAnswer(**_fields(refund)), 200, REPLAYED if replayed else None)


@describe({200: OperatorRefundAnswer}, body=SettleBody, refuses=("refund_not_manual",))
async def settle_refund(request: Request) -> Response:
    """Write that a MANUAL refund was paid by hand; `note` says how. The gateway is not asked any more."""
    body, identity = await SETTLE.read(request), caller(request)
    refund, replayed = await _runtime(request).ledger.settle_refund(
        request.path_params["refund"],
        identity.subject,
        body.note,
        partial(_permit, identity, manager=True),
        engine_request(request, identity.subject, body),
    )
    return answer(OperatorRefundAnswer(**_fields(refund)), 200, REPLAYED if replayed else None)


def _permit(identity: Identity, cinema: int | None, *, manager: bool) -> None:
    """Refuse what is another cinema's; money that belongs to none is for admins."""
    if cinema is not None:
        identity.require_cinema(cinema, manager=manager)
    elif identity.role != "admin":
        raise Refusal("forbidden", "This money belongs to no cinema; ask an admin.")


def _fields(refund: RefundDetails) -> dict[str, Any]:
    return {
        "id": refund.id,
        "status": refund.status,
        "amount": refund.amount_minor,
        "currency": refund.currency,
        "reason": refund.reason,
        "comment": refund.comment,
        "booking_id": refund.booking_id,
        "showtime_id": refund.showtime,
        "cinema_id": refund.cinema_id,
        "gateway": refund.gateway,
        "session_id": refund.session_id,
        "gateway_refund": refund.gateway_refund,
        "failure_code": refund.failure_code,
        "attempts": refund.attempts,
        "due_at": _time(refund.due_at_ms),
        "created_at": rfc3339(refund.created_at_ms),
        "updated_at": rfc3339(refund.updated_at_ms),
        "settled_at": _time(refund.settled_at_ms),
        "settled_by": refund.settled_by,
        "note": refund.note,
        "tickets": [RefundedTicketAnswer(ticket.id, ticket.seat, ticket.amount_minor) for ticket in refund.tickets],
    }


def _attempt_json(attempt: RefundAttempt) -> RefundAttemptAnswer:
    return RefundAttemptAnswer(
        attempt.attempt, attempt.outcome, attempt.error, rfc3339(attempt.begun_at_ms), _time(attempt.ended_at_ms)
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
