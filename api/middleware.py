"""What every request passes, as plain ASGI: its id, its size, its time, its headers, its line in the log."""

import os
import time
from collections.abc import Iterable, Mapping

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer_crash
from engine import timings
from engine.errors import Refusal
from engine.limits import BODY_MAX_BYTES, CATALOGUE_BODY_MAX_BYTES, REQUEST_ID_LENGTH_MAX

RawHeader = tuple[bytes, bytes]

OPERATORS_PREFIX = "/api/v1/admin/"

_CONSTANT_HEADERS: list[RawHeader] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    # Any page may call: there are no cookies, and a token has to be sent on purpose.
    (b"access-control-allow-origin", b"*"),
    (
        b"access-control-expose-headers",
        b"ETag, Idempotency-Replayed, Location, RateLimit, Retry-After, Server-Timing, X-Request-Id",
    ),
]
_DEFAULT_HEADERS: list[RawHeader] = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
"""Unless the handler says otherwise nothing here may run in a page, and nothing may be kept by a cache."""
_PREFLIGHT_HEADERS: Mapping[str, str] = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    # A wildcard would not cover Authorization.
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Request-Id"
    ),
    "Access-Control-Max-Age": "7200",
}
_HARMLESS = str.maketrans(dict.fromkeys("-_.:", "0"))


class Edge:
    """The outermost layer: gives each request an id, measures it, hardens its answer, logs it, and catches crashes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Bound once: binding per request would cost as much as the rest of this class.
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_ns = time.perf_counter_ns()
        request_id = scope["request_id"] = _request_id(_header(scope, b"x-request-id"))
        spent = timings.begin()
        status = 0

        async def send_hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                timing = _server_timing(spent, time.perf_counter_ns() - started_ns)
                message["headers"] = _hardened(message.get("headers", []), request_id, timing)
            await send(message)

        try:
            if scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None:
                await Response(status_code=204, headers=_PREFLIGHT_HEADERS)(scope, receive, send_hardened)
            else:
                await self._app(scope, receive, send_hardened)
        except Exception as error:
            if status:
                raise
            await answer_crash(Request(scope, receive), error)(scope, receive, send_hardened)
        finally:
            identity = scope.get("identity")
            self._log.info(
                "request",
                request_id=request_id,
                method=scope["method"],
                # The template, not the path: an id in a path may be a secret, such as a ticket's code.
                route=scope.get("route_path", ""),
                status=status,
                ms=round((time.perf_counter_ns() - started_ns) / 1e6, 2),
                subject=identity.subject if identity else None,
            )


class BodyLimit:
    """Refuses bodies over the limit, declared or streamed, when the handler comes to read them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        limit = CATALOGUE_BODY_MAX_BYTES if scope["path"].startswith(OPERATORS_PREFIX) else BODY_MAX_BYTES
        declared = _header(scope, b"content-length") or b"0"
        left = -1 if not declared.isdigit() or int(declared) > limit else limit

        async def receive_limited() -> Message:
            nonlocal left
            if left >= 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if left >= 0:
                    return message
            raise Refusal("body_too_large", limit_bytes=limit)

        await self._app(scope, receive_limited, send)


def _header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _request_id(given: bytes | None) -> str:
    """Take the caller's id if it is short and harmless in a log and a header, else make one."""
    if given and len(given) <= REQUEST_ID_LENGTH_MAX and given.isascii():
        text = given.decode("ascii")
        if text.translate(_HARMLESS).isalnum():
            return text
    return os.urandom(12).hex()


def _hardened(headers: Iterable[RawHeader], request_id: str, timing: str) -> list[RawHeader]:
    """Give the answer's own headers with ours added."""
    own = list(headers)
    named = {name for name, _ in own}
    return [
        *own,
        (b"x-request-id", request_id.encode("ascii")),
        (b"server-timing", timing.encode("ascii")),
        *_CONSTANT_HEADERS,
        *(header for header in _DEFAULT_HEADERS if header[0] not in named),
    ]


def _server_timing(spent: timings.Tally, total_ns: int) -> str:
    parts = [f"{name};dur={ms:.2f}" for name, ms in spent.items()]
    return ", ".join([*parts, f"total;dur={total_ns / 1e6:.2f}"])
