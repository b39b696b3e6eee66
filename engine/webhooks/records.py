"""What outgoing webhooks speak of: events as integrators read them, endpoints, deliveries and their attempts."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

EventType = Literal[
    "booking.confirmed",
    "booking.expired",
    "booking.cancelled",
    "booking.refunded",
    "showtime.cancelled",
    "refund.queued",
    "refund.settled",
    "refund.manual",
]
"""What an endpoint may ask for: types of announcements."""
TEST_TYPE = "webhook.test"
OffReason = Literal["operator", "gone", "failing"]
DeliveryStatus = Literal["PENDING", "DELIVERED", "DEAD"]


class EventData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an event speaks of, as it was then; what does not apply is left out, and no person is named.

    `status` is that of the booking, refund or showtime that the type names. Of a booking, `seats` and `amount` are its
    own; of a refund, they are those that go back.
    """

    status: str | UnsetType = UNSET
    cinema_id: int | UnsetType = UNSET
    showtime_id: int | UnsetType = UNSET
    booking_id: str | UnsetType = UNSET
    refund_id: str | UnsetType = UNSET
    status_reason: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    seats: list[str] | UnsetType = UNSET
    amount: int | UnsetType = UNSET
    currency: str | UnsetType = UNSET


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a webhook; its id is the header `webhook-id`, and the same at every attempt."""

    id: Annotated[str, Meta(pattern="^msg_[0-9a-f-]{36}$")]
    type: str
    created_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    data: EventData


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told. `cinema_id` None: of all cinemas. `secret` is given once, when it is new."""

    id: int
    url: str
    events: tuple[str, ...]
    cinema_id: int | None
    description: str
    active: bool
    off_reason: OffReason | None
    off_at_ms: int | None
    failing_since_ms: int | None
    created_by: str
    created_at_ms: int
    secret: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One call of an endpoint; without status and error it is under way, or its process died."""

    attempt: int
    begun_at_ms: int
    duration_ms: int | None
    status_code: int | None
    answer: str | None
    error: str | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    id: int
    endpoint_id: int
    event_id: str
    type: str
    status: DeliveryStatus
    due_at_ms: int | None
    created_at_ms: int
    ended_at_ms: int | None
    attempts: tuple[Attempt, ...]


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt needs: where to, which bytes, signed by which secrets."""

    id: int
    attempt: int
    endpoint_id: int
    url: str
    event_id: str
    body: str
    secrets: tuple[str, ...]
