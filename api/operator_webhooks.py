"""Outgoing webhooks over HTTP, for operators: endpoints of integrators, and the log of what was sent to them."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import PAGE, describe
from api.wire import (
    Body,
    Page,
    Timestamp,
    answer,
    no_content,
    page,
    page_cursor,
    page_limit,
    query_word,
    rfc3339,
    row_number,
)
from engine.runtime import Runtime
from engine.webhooks.endpoints import EndpointChange, NewEndpoint
from engine.webhooks.records import Attempt, Delivery, DeliveryStatus, Endpoint, OffReason


class EndpointAnswer(msgspec.Struct):
    """Who is told of what. `off_reason`: `gone` answered 410, `failing` took nothing for three days.

    `secret` is there once: in the answer that made it, or changed it.
    """

    id: int
    url: str
    events: list[str]
    cinema_id: int | None
    description: str
    active: bool
    off_reason: OffReason | None
    off_at: Timestamp | None
    failing_since: Timestamp | None
    created_by: str
    created_at: Timestamp
    secret: str | UnsetType = UNSET


class AttemptAnswer(msgspec.Struct):
    """One call of the endpoint: when, for how long, and how the answer began, or why there was none."""

    attempt: int
    begun_at: Timestamp
    duration_ms: int | None
    status_code: int | None
    answer: str | None
    error: str | None


class DeliveryAnswer(msgspec.Struct):
    """An event on its way to an endpoint; `due_at` is when it is sent next. `event_id` is its `webhook-id`."""

    id: int
    endpoint_id: int
    event_id: str
    type: str
    status: DeliveryStatus
    created_at: Timestamp
    due_at: Timestamp | None
    ended_at: Timestamp | None
    attempts: list[AttemptAnswer]


class EndpointPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list of endpoints goes on."""

    id: Annotated[int, Meta(ge=0, lt=2**31)]


class DeliveryPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list of deliveries goes on."""

    id: Annotated[int, Meta(ge=0, lt=2**53)]


NEW_ENDPOINT, ENDPOINT_CHANGE = Body(NewEndpoint), Body(EndpointChange)


@describe({201: EndpointAnswer}, body=NewEndpoint, refuses=("not_found",))
async def create_webhook(request: Request) -> Response:
    """Make an endpoint; its secret is shown this once. Without `cinema_id` it is for all cinemas, for admins only.

    404 to the repeat of a request whose endpoint was deleted since.
    """
    identity, new = caller(request), await NEW_ENDPOINT.read(request)
    endpoint, replayed = await _runtime(request).webhooks.create(
        identity, new, engine_request(request, identity.subject, new)
    )
    return answer(endpoint_json(endpoint), 201, REPLAYED if replayed else None)


@describe({200: Page[EndpointAnswer]}, query=PAGE)
async def list_webhooks(request: Request) -> Response:
    """List the endpoints of the cinemas that the caller manages; admins see all."""
    identity, after, limit = caller(request), page_cursor(request, EndpointPosition), page_limit(request)
    cinemas = None if identity.role == "admin" else sorted(identity.managed)
    found = await _runtime(request).webhooks.list_endpoints(cinemas, after.id if after else 0, limit + 1)
    position = [found[limit - 1].id] if len(found) > limit else None
    return answer(page([endpoint_json(endpoint) for endpoint in found[:limit]], position))


@describe({200: EndpointAnswer})
async def read_webhook(request: Request) -> Response:
    """Give one endpoint; its secret is not shown again."""
    return answer(endpoint_json(await _runtime(request).webhooks.read(caller(request), row_number(request))))


@describe({200: EndpointAnswer}, body=EndpointChange)
async def change_webhook(request: Request) -> Response:
    """Change an endpoint; `rotate_secret` gives a new secret, and the former ones sign beside it for a day."""
    change = await ENDPOINT_CHANGE.read(request)
    endpoint = await _runtime(request).webhooks.change(caller(request), row_number(request), change)
    return answer(endpoint_json(endpoint))


@describe({204: None})
async def delete_webhook(request: Request) -> Response:
    """Delete an endpoint; nothing more is sent to it. A repeat is 404."""
    await _runtime(request).webhooks.delete(caller(request), row_number(request))
    return no_content()


@describe({200: Page[DeliveryAnswer]}, query=("status", *PAGE))
async def list_deliveries(request: Request) -> Response:
    """List what was sent, or is to be, newest first, with every attempt: `?status=PENDING|DELIVERED|DEAD`."""
    before, limit = page_cursor(request, DeliveryPosition), page_limit(request)
    status = query_word(request, "status", DeliveryStatus)
    found = await _runtime(request).webhooks.list_deliveries(
        caller(request), row_number(request), status, before.id if before else None, limit + 1
    )
    position = [found[limit - 1].id] if len(found) > limit else None
    return answer(page([delivery_json(delivery) for delivery in found[:limit]], position))


@describe({202: DeliveryAnswer}, refuses=("endpoint_off",))
async def redeliver(request: Request) -> Response:
    """Send an event again, whatever became of it; one older than three days is tried once."""
    identity, delivery = caller(request), request.path_params["delivery"]
    sent, replayed = await _runtime(request).webhooks.redeliver(
        identity, row_number(request), min(delivery, 2**62), engine_request(request, identity.subject)
    )
    return answer(delivery_json(sent), 202, REPLAYED if replayed else None)


@describe({202: DeliveryAnswer}, refuses=("endpoint_off",))
async def send_test(request: Request) -> Response:
    """Send a `webhook.test` event, once; the list of deliveries shows what came of it."""
    identity = caller(request)
    sent, replayed = await _runtime(request).webhooks.send_test(
        identity, row_number(request), engine_request(request, identity.subject)
    )
    return answer(delivery_json(sent), 202, REPLAYED if replayed else None)


def endpoint_json(endpoint: Endpoint) -> EndpointAnswer:
    """Build one endpoint."""
    return EndpointAnswer(
        id=endpoint.id,
        url=endpoint.url,
        events=list(endpoint.events),
        cinema_id=endpoint.cinema_id,
        description=endpoint.description,
        active=endpoint.active,
        off_reason=endpoint.off_reason,
        off_at=_time(endpoint.off_at_ms),
        failing_since=_time(endpoint.failing_since_ms),
        created_by=endpoint.created_by,
        created_at=rfc3339(endpoint.created_at_ms),
        secret=UNSET if endpoint.secret is None else endpoint.secret,
    )


def delivery_json(delivery: Delivery) -> DeliveryAnswer:
    """Build one delivery."""
    return DeliveryAnswer(
        id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        type=delivery.type,
        status=delivery.status,
        created_at=rfc3339(delivery.created_at_ms),
        due_at=_time(delivery.due_at_ms),
        ended_at=_time(delivery.ended_at_ms),
        attempts=[_attempt_json(attempt) for attempt in delivery.attempts],
    )


def _attempt_json(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(
        attempt=attempt.attempt,
        begun_at=rfc3339(attempt.begun_at_ms),
        duration_ms=attempt.duration_ms,
        status_code=attempt.status_code,
        answer=attempt.answer,
        error=attempt.error,
    )


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
