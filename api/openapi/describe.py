"""What a handler says of itself, beside its code: what it takes, what it answers, which refusals it may give.

    @describe({201: HoldAnswer}, body=ClaimBody, refuses=("seats_taken", "hold_limit"))
    async def claim_seats(request: Request) -> Response:
        ...

What follows from the route or from the rest (tokens, sizes, unavailable servers) is added by `document.py`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]
H = TypeVar("H", bound=Handler)
Answer = Any
"""A type that msgspec knows; a tuple of them, one of which comes; a media type for other text; None for no body."""

PAGE = ("limit", "cursor")
"""The query parameters of every list that has pages."""


class Description(NamedTuple):
    """What one handler takes and answers.

    Attributes:
        answers: status -> what comes with it.
        bodies: the body is one of these; empty if none is read.
        body_optional: the request may come without a body.
        query: names in `QUERY_PARAMETERS` of `parameters.py`.
        refuses: codes of `PROBLEMS` of this handler's own.
        sends: names of headers, in `HEADERS` of `parameters.py`, that a success may carry.
        signed: the request is authenticated by the gateway's signature, not by a token.
        tagged: a success carries an `ETag`, and 304 answers who has it.
    """

    answers: Mapping[int, Answer]
    bodies: tuple[type, ...] = ()
    body_optional: bool = False
    query: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    signed: bool = False
    tagged: bool = False


_descriptions: dict[Handler, Description] = {}


def describe(
    answers: Mapping[int, Answer],
    *,
    body: type | tuple[type, ...] = (),
    body_optional: bool = False,
    query: tuple[str, ...] = (),
    refuses: tuple[str, ...] = (),
    sends: tuple[str, ...] = (),
    signed: bool = False,
    tagged: bool = False,
) -> Callable[[H], H]:
    """Keep a handler's description; see `Description`."""
    bodies = body if isinstance(body, tuple) else (body,)
    description = Description(answers, bodies, body_optional, query, refuses, sends, signed, tagged)

    def keep(handler: H) -> H:
        _descriptions[handler] = description
        return handler

    return keep


def description_of(handler: Handler) -> Description:
    """Give what a handler said of itself.

    Raises:
        LookupError: it said nothing.
    """
    try:
        return _descriptions[handler]
    except KeyError:
        raise LookupError(f"{handler.__module__}.{handler.__name__} has no @describe") from None
