"""What every request passes, as plain ASGI: its id, its size, its time, its headers, its line in the log."""

import os
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer_crash
from engine import timings
from engine.errors import Refusal
from engine.limits import BODY_MAX_BYTES, CATALOGUE_BODY_MAX_BYTES, REQUEST_ID_LENGTH_MAX

log = structlog.get_logger()

EXPOSED_HEADERS = (
    "ETag",
    "Retry-After",
    "RateLimit",
    "X-Request-Id",
    "Idempotency-Replayed",
    "Server-Timing",
    "Location",
)
SECURITY_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "cross-origin"),
)
DEFAULT_HEADERS = (
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cache-control", "no-store"),
)
"""Set unless the handler has set them: nothing here may run in a page, and what is not said to be cacheable is not."""
OPERATORS_PREFIX = "/api/v1/admin/"


class Edge:
    """The outermost layer: gives each request an id, measures it, hardens its answer, logs it, and catches crashes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_ns = time.perf_counter_ns()
        request_id = scope["request_id"] = _request_id(Headers(scope=scope).get("x-request-id"))
        spent = timings.begin()
        status = 0

        async def send_hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                headers["X-Request-Id"] = request_id
                headers["Server-Timing"] = _server_timing(spent, time.perf_counter_ns() - started_ns)
                for name, value in SECURITY_HEADERS:
                    headers[name] = value
                for name, value in DEFAULT_HEADERS:
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_hardened)
        except Exception as error:
            if status:
                raise
            await answer_crash(Request(scope, receive), error)(scope, receive, send_hardened)
        finally:
            identity = scope.get("identity")
            log.info(
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
        declared = Headers(scope=scope).get("content-length", "0")
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


def _request_id(given: str | None) -> str:
    """Take the caller's id if it is short and harmless in a log and a header, else make one."""
    if given and len(given) <= REQUEST_ID_LENGTH_MAX and given.isascii() and given.translate(_HARMLESS).isalnum():
        return given
    return os.urandom(12).hex()


_HARMLESS = str.maketrans(dict.fromkeys("-_.:", "0"))


def _server_timing(spent: dict[str, Any], total_ns: int) -> str:
    parts = [f"{name};dur={ms:.2f}" for name, ms in spent.items()]
    return ", ".join([*parts, f"total;dur={total_ns / 1e6:.2f}"])
