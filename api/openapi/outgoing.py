"""The `webhooks` of the document: what endpoints of integrators are sent, event by event."""

from typing import Any, get_args

import msgspec

from api.openapi.parameters import HOLD_EXAMPLE, Field
from engine.webhooks.records import TEST_TYPE, Event, EventData, EventType

Json = dict[str, Any]

EVENT_ID = "msg_6f1c2b7a-4a7e-4b7e-9d39-0d6f4f4b7a11"
_OF_A_BOOKING = EventData(
    cinema_id=3, showtime_id=42, booking_id=HOLD_EXAMPLE, seats=["C7", "C8"], amount=15_000_000, currency="IDR"
)
_DATA = {
    "booking": _OF_A_BOOKING,
    "refund": msgspec.structs.replace(
        _OF_A_BOOKING, refund_id="4b7e9d39-0d6f-5f4b-8a11-6f1c2b7a4a7e", reason="showtime_cancelled"
    ),
    "showtime": EventData(cinema_id=3, showtime_id=42, status_reason="The projector is broken"),
}
_SIGNED = {
    "webhook-id": Field("The event's id, the same at each attempt.", {"type": "string"}, EVENT_ID),
    "webhook-timestamp": Field("Unix time of this attempt, in seconds.", {"type": "string"}, "1795248000"),
    "webhook-signature": Field(
        "`v1,<base64 HMAC-SHA256 of <webhook-id>.<webhook-timestamp>.<raw body>>`, one for each secret.",
        {"type": "string"},
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
}


def describe_webhooks(schema: Json) -> Json:
    """Describe each event; `schema` is that of `Event`."""
    return {kind: {"post": _operation(kind, schema)} for kind in (*get_args(EventType), TEST_TYPE)}


def _operation(kind: str, schema: Json) -> Json:
    return {
        "operationId": "webhook_" + kind.replace(".", "_"),
        "summary": kind,
        "description": "Signed as https://www.standardwebhooks.com says; comes at least once, and in no order.",
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": says, "schema": form, "example": example}
            for name, (says, form, example) in _SIGNED.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": msgspec.to_builtins(_example(kind))}},
        },
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "Nothing more is wanted: the endpoint is switched off."},
            "default": {"description": "Not taken: the same comes again later."},
        },
        "security": [],
    }


def _example(kind: str) -> Event:
    what, _, status = kind.partition(".")
    data = EventData() if kind == TEST_TYPE else msgspec.structs.replace(_DATA[what], status=status.upper())
    return Event(id=EVENT_ID, type=kind, created_at="2026-11-21T08:00:00.000Z", data=data)
