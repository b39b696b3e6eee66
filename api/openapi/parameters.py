"""Parameters and headers by name: what each is, the same wherever it occurs."""

from typing import Any, NamedTuple

from engine.limits import (
    IDEMPOTENCY_KEY_LENGTH_MAX,
    PAGE_LIMIT_DEFAULT,
    PAGE_LIMIT_MAX,
    SEAT_MAP_VERSION_MAX,
    SHOWTIME_NUMBER_MAX,
)

HOLD_EXAMPLE = "0199c2a4-6b1e-7c3f-8a51-00020000002a"
REFUND_EXAMPLE = "b2f4c7de-52a9-5e0f-9d59-7c1c3a4e8f10"
TICKET_EXAMPLE = "0199c2a4-7d10-7e51-9c2b-3f5e6a7b8c9d"
SESSION_EXAMPLE = "sess_9f1c2b7a4a7e4b7e9d390d6f4f4b7a11"
TICKET_CODE_EXAMPLE = (
    "AEAQDGOCUR6RA7SRTQVT6XTKPOGJ2AAAAAVAAJLLAGHMQMSTEPBJU7HYVMFRPYOYC3YYT3ELR2"
    "CQD5EGKCWHBNH5MXWOIKQ6X7NFMVFEQPUQMZXNJKFQJFWCRYGOOAGFDFJANLME4QLUKMB7GIBA"
)


class Field(NamedTuple):
    """A parameter or header: a sentence, its schema, a value as an example."""

    says: str
    schema: dict[str, Any]
    example: Any


def _text(*, least: int = 1, most: int = 200) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most}


PATH_PARAMETERS: dict[str, Field] = {
    "showtime": Field("Number of a showtime.", {"type": "integer", "minimum": 1, "maximum": SHOWTIME_NUMBER_MAX}, 42),
    "id": Field("Number of the thing.", {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, 7),
    "hold": Field("Id of a hold.", {"type": "string", "format": "uuid"}, HOLD_EXAMPLE),
    "booking": Field("Id of a booking, which was its hold's.", {"type": "string", "format": "uuid"}, HOLD_EXAMPLE),
    "session": Field("Id of a payment session.", _text(), SESSION_EXAMPLE),
    "ticket": Field("Code of a ticket.", {"type": "string", "pattern": "^[A-Z2-7]{148}$"}, TICKET_CODE_EXAMPLE),
    "refund": Field("Id of a refund.", {"type": "string", "format": "uuid"}, REFUND_EXAMPLE),
    "code": Field("Code of a problem.", {"type": "string", "pattern": "^[a-z_]+$"}, "seats_taken"),
    "delivery": Field("Number of a delivery.", {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}, 1207),
    "asset": Field("Name of a file.", {"type": "string", "pattern": "^[a-z-]+[.](css|js)$"}, "swagger-ui.css"),
}

_ANY = {"type": "string"}
"""Whatever is not there is not found; an empty text is no parameter."""

QUERY_PARAMETERS: dict[str, Field] = {
    "limit": Field(
        "How many items a page may have.",
        {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT_MAX, "default": PAGE_LIMIT_DEFAULT},
        20,
    ),
    "cursor": Field("The `next_cursor` of the page before; the first page without.", _ANY, "WyJKYWthcnRhIiwxXQ"),
    "city": Field("Slug of a city.", _ANY, "jakarta"),
    "cinema": Field("Slug or number of a cinema.", _ANY, "teater-kencana"),
    "movie": Field("Slug or number of a movie.", _ANY, "laut-bercerita"),
    "date": Field(
        "The cinema's local day.", {"type": "string", "pattern": "^(20[0-9]{2}-[0-9]{2}-[0-9]{2})?$"}, "2026-11-21"
    ),
    "since": Field(
        "A `version` that the caller has the seats of.",
        {"type": "integer", "minimum": 0, "maximum": SEAT_MAP_VERSION_MAX},
        1_795_000_000_000,
    ),
    "size": Field("Only pages of this size; both without.", {"type": "string", "enum": ["phone", "a4"]}, "phone"),
    "status": Field("Only those of this status.", _ANY, "PENDING"),
    "kind": Field("Only those of this kind.", _ANY, "ticket"),
    "tickets": Field("Ids of tickets of the booking, by comma.", _ANY, TICKET_EXAMPLE),
    "closed": Field("`true` adds what was closed.", _ANY, "true"),
}

REQUEST_HEADERS: dict[str, Field] = {
    "Idempotency-Key": Field(
        "Chosen by the caller: the same request with the same key has one effect and the first answer.",
        {"type": "string", "pattern": f"^[ -~]{{1,{IDEMPOTENCY_KEY_LENGTH_MAX}}}$"},
        "4f6a2b1c-buy-c7",
    ),
    "X-Request-Id": Field(
        "Comes back, and is in every line of the log; one is made if it is absent, long, or not of `A-Za-z0-9-_.:`.",
        {"type": "string"},
        "9b1deb4d3b7d4bad9bdd2b0d",
    ),
    "If-None-Match": Field("The `ETag` that the caller has.", {"type": "string"}, '"1.0d6f4f4b7a11"'),
}

HEADERS: dict[str, Field] = {
    "X-Request-Id": Field("Id of this request.", _text(most=128), "9b1deb4d3b7d4bad9bdd2b0d"),
    "Server-Timing": Field("Where the time went, in ms.", _text(most=500), "redis;dur=0.41, total;dur=1.20"),
    "RateLimit": Field(
        "What is left of the caller's requests, where they are counted.", _text(most=500), '"default";r=49;t=1'
    ),
    "RateLimit-Policy": Field("How many requests are allowed.", _text(most=500), '"default";q=50;w=1'),
    "Retry-After": Field("Seconds after which to ask again.", {"type": "integer", "minimum": 1}, 1),
    "Idempotency-Replayed": Field(
        "`true` on an answer that was given before.", {"type": "string", "enum": ["true"]}, "true"
    ),
    "ETag": Field("Names this state of the resource.", _text(most=500), '"1.0d6f4f4b7a11"'),
    "Location": Field("Where the thing that was made can be read.", _text(most=500), f"/api/v1/holds/{HOLD_EXAMPLE}"),
}
