"""Mails and messages on their way, as administrators see them; and the look-up of a booking by mail."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.accounts import Email
from api.auth import caller
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import PAGE, describe
from api.wire import (
    Body,
    Input,
    Page,
    Timestamp,
    answer,
    page,
    page_cursor,
    page_limit,
    query_word,
    rfc3339,
    row_number,
)
from engine.accounts.users import normalise_email
from engine.notifications.desk import NotificationDesk
from engine.notifications.records import ChannelName, Kind, NotificationState, Status


class NotificationAnswer(msgspec.Struct):
    """A notification. `error` is what went wrong last; DEAD ones wait for a retry by a person."""

    id: int
    business_id: str
    kind: Kind
    channel: ChannelName
    recipient: str
    locale: str
    showtime_id: int | None
    booking_id: str | None
    refund_id: str | None
    status: Status
    attempts: int
    due_at: Timestamp | None
    error: str | None
    created_at: Timestamp
    ended_at: Timestamp | None


class LookUpBody(Input, frozen=True):
    """A booking's id, and the e-mail address that it was made with."""

    id: UUID
    email: Email


class LookUpAnswer(msgspec.Struct):
    """The same whether they belong together or not."""

    detail: str


class Below(msgspec.Struct, frozen=True, array_like=True):
    """Where the list goes on."""

    id: Annotated[int, Meta(ge=1, lt=2**53)]


LOOK_UP = Body(LookUpBody)
LOOKED_UP = LookUpAnswer("If the booking has this e-mail address, a mail about it is on its way.")


@describe({200: Page[NotificationAnswer]}, query=("status", "kind", *PAGE))
async def list_notifications(request: Request) -> Response:
    """List notifications, newest first; `?status=DEAD` are those that nobody tries any more."""
    after = page_cursor(request, Below)
    status, kind = query_word(request, "status", Status), query_word(request, "kind", Kind)
    found, position = await _desk(request).list_notifications(
        status, kind, after.id if after else None, page_limit(request)
    )
    return answer(page([notification_json(one) for one in found], None if position is None else [position]))


@describe({200: NotificationAnswer}, refuses=("not_retryable",))
async def retry_notification(request: Request) -> Response:
    """Send a dead notification again, from its first attempt; one that waits is tried at once."""
    subject = caller(request).subject
    retried = await _desk(request).retry(row_number(request), subject, engine_request(request, subject))
    return answer(notification_json(retried), 200, REPLAYED if retried.replayed else None)


@describe({202: LookUpAnswer}, body=LookUpBody)
async def look_up(request: Request) -> Response:
    """Ask for a booking's state and tickets by mail, to the address that it was made with: 202 in any case."""
    body = await LOOK_UP.read(request)
    email = normalise_email(body.email)
    # The e-mail is in the digest, as at registering: the callers have no name.
    remembered = engine_request(request, "look_up:" + email, msgspec.structs.replace(body, email=email))
    replayed = await _desk(request).ask_for_booking(body.id, email, remembered)
    return answer(LOOKED_UP, 202, REPLAYED if replayed else None)


def notification_json(state: NotificationState) -> NotificationAnswer:
    """Build one notification."""
    return NotificationAnswer(
        id=state.id,
        business_id=state.business_id,
        kind=state.kind,
        channel=state.channel,
        recipient=state.recipient,
        locale=state.locale,
        showtime_id=state.showtime,
        booking_id=state.booking_id,
        refund_id=state.refund_id,
        status=state.status,
        attempts=state.attempts,
        due_at=None if state.due_at_ms is None else rfc3339(state.due_at_ms),
        error=state.error,
        created_at=rfc3339(state.created_at_ms),
        ended_at=None if state.ended_at_ms is None else rfc3339(state.ended_at_ms),
    )


def _desk(request: Request) -> NotificationDesk:
    return NotificationDesk(request.app.state.runtime.pool)
