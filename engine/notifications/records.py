"""What the notifications room gives and takes."""

from typing import Any, Literal
from uuid import UUID

import msgspec

Kind = Literal["ticket", "showtime_cancelled", "refund_done", "refund_queued", "refund_manual", "lapsing", "lookup"]
"""What a notification says:

    ticket              the e-tickets of a paid booking
    showtime_cancelled  the cinema has cancelled, and what goes back
    refund_done         money is on its way to the customer ("Berhasil Refund")
    refund_queued       money came that bought nothing, why, and that it goes back
    refund_manual       to administrators: a refund that only a person can make
    lapsing             an unpaid booking is kept until then
    lookup              a booking's state and tickets, for whoever knows its id and its e-mail address
"""
ChannelName = Literal["mail", "message"]
Status = Literal["QUEUED", "SENT", "SUPERSEDED", "DEAD"]
"""SUPERSEDED: what it was to say was no longer true when its turn came; other notifications say what is."""


class NewNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification to queue; its business id has it queued once."""

    business_id: str
    kind: Kind
    channel: ChannelName
    recipient: str
    locale: str
    showtime: int | None = None
    booking_id: UUID | None = None
    refund_id: UUID | None = None
    data: Any = msgspec.field(default_factory=dict)


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A queued notification that this worker has taken; `attempts` counts this one too and proves the lease."""

    id: int
    business_id: str
    kind: Kind
    channel: ChannelName
    recipient: str
    locale: str
    showtime: int | None
    booking_id: str | None
    refund_id: str | None
    data: Any
    attempts: int


class NotificationState(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as operators see it. `error` is what went wrong last."""

    id: int
    business_id: str
    kind: Kind
    channel: ChannelName
    recipient: str
    locale: str
    showtime: int | None
    booking_id: str | None
    refund_id: str | None
    status: Status
    attempts: int
    due_at_ms: int | None
    error: str | None
    created_at_ms: int
    ended_at_ms: int | None
    replayed: bool = False


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that comes with a mail; one with a `content_id` is shown inside the HTML as `cid:<content_id>`."""

    name: str
    media_type: str
    content: bytes
    content_id: str | None = None


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A notification in words, ready for a channel. The subject has no line breaks."""

    business_id: str
    kind: Kind
    recipient: str
    locale: str
    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...] = ()
