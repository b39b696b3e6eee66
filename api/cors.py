"""Which pages of other origins may call from a browser: those of `SEATLOCK_CORS_ORIGINS`, and by default none."""

import re
from collections.abc import Iterable, Mapping

from starlette.types import Scope

from engine.errors import CommandError
from engine.limits import CORS_PREFLIGHT_TTL_S

RawHeader = tuple[bytes, bytes]

EXPOSED = b"ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, X-Request-Id"
METHODS = "GET, POST, PATCH, DELETE"
SENT = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-Id"
"""Named one by one: a wildcard would not cover Authorization."""
_ORIGIN = re.compile(r"https?://[^/\s*]+")


class Cors:
    """The answers that a browser asks for on behalf of a page of another origin.

    Args:
        origins: `SEATLOCK_CORS_ORIGINS`: origins by comma, or `*` for every page. There are no cookies here, so that
            also `*` gives nobody more than a token that was sent on purpose.

    Raises:
        CommandError: what is given is no origin.
    """

    def __init__(self, origins: str) -> None:
        given = {origin.strip() for origin in origins.split(",") if origin.strip()}
        self._every = "*" in given
        wrong = sorted(origin for origin in given - {"*"} if not _ORIGIN.fullmatch(origin))
        if wrong:
            raise CommandError(f"SEATLOCK_CORS_ORIGINS: {wrong[0]} is no origin such as https://tickets.example")
        self._origins = {origin.encode("ascii", "replace") for origin in given}

    def headers(self, scope: Scope, own: Iterable[RawHeader]) -> list[RawHeader]:
        """Give the headers that let the page read the answer; `own` are the answer's, whose Vary is kept."""
        if not self._origins:
            return []
        origin = header(scope, b"origin")
        if self._every:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", EXPOSED)]
        vary = (
            [] if any(name == b"vary" and b"origin" in value.lower() for name, value in own) else [(b"vary", b"Origin")]
        )
        if origin is None or origin not in self._origins:
            return vary
        return [*vary, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED)]

    def preflight(self, scope: Scope) -> Mapping[str, str]:
        """Give what a page may send; nothing to a page that may not call."""
        if not self._every and header(scope, b"origin") not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": SENT,
            "Access-Control-Max-Age": str(CORS_PREFLIGHT_TTL_S),
        }


def is_preflight(scope: Scope) -> bool:
    """Say whether a browser asks what a page may send."""
    return scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method") is not None


def header(scope: Scope, name: bytes) -> bytes | None:
    """Give a request's header, by its name in lower case; the first one if it comes twice."""
    named: dict[bytes, bytes] | None = scope.get("named_headers")
    if named is None:
        # A claim asks for several of them.
        named = scope["named_headers"] = dict(reversed(scope["headers"]))
    return named.get(name)


def is_repeated(scope: Scope, name: bytes) -> bool:
    """Say whether a request has this header more than once; to be asked of one that `header` gave."""
    return len(scope["named_headers"]) < len(scope["headers"]) and [key for key, _ in scope["headers"]].count(name) > 1
