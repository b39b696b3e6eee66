"""What every request passes, as plain ASGI: its id, its size, its time, its headers, its line in the log."""

import asyncio
import os
import time
from collections.abc import Iterable

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cors import Cors, RawHeader, header, is_preflight
from api.problems import answer_crash, answer_error
from engine import timings
from engine.errors import Refusal, Unavailable
from engine.limits import (
    ANSWER_TIMEOUT_MS,
    BODY_MAX_BYTES,
    BODY_TIMEOUT_MS,
    CATALOGUE_BODY_MAX_BYTES,
    REQUEST_ID_LENGTH_MAX,
    SECOND_MS,
)
from engine.settings import Settings

OPERATORS_PREFIX = "/api/v1/admin/"
GONE_STATUS = 499
"""In the log only: the caller hung up before its request was whole, and nobody is there to be answered."""

_CONSTANT_HEADERS: list[RawHeader] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_DEFAULT_HEADERS: list[RawHeader] = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""Unless the handler says otherwise nothing here may run in a page, and nothing may be kept by a cache."""
_STRICT_TRANSPORT: RawHeader = (b"strict-transport-security", b"max-age=31536000")
_HARMLESS = str.maketrans(dict.fromkeys("-_.:", "0"))


class Edge:
    """The outermost layer: gives each request an id, measures it, hardens its answer, logs it, and catches crashes."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._cors = Cors(settings.cors_origins)
        self._constant = [*_CONSTANT_HEADERS]
        if settings.public_url.startswith("https://"):
            self._constant.append(_STRICT_TRANSPORT)
        # Bound once: binding per request would cost as much as the rest of this class.
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_ns = time.perf_counter_ns()
        request_id = scope["request_id"] = _request_id(header(scope, b"x-request-id"))
        spent = timings.begin()
        status = 0

        async def send_hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                timing = _server_timing(spent, time.perf_counter_ns() - started_ns)
                message["headers"] = self._hardened(scope, message.get("headers", []), timing)
            await send(message)

        try:
            if is_preflight(scope):
                await Response(status_code=204, headers=self._cors.preflight(scope))(scope, receive, send_hardened)
            else:
                await self._app(scope, receive, send_hardened)
        except ClientDisconnect:
            status = status or GONE_STATUS
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

    def _hardened(self, scope: Scope, headers: Iterable[RawHeader], timing: str) -> list[RawHeader]:
        """Give the answer's own headers with ours added."""
        own = list(headers)
        named = {name for name, _ in own}
        return [
            *own,
            (b"x-request-id", scope["request_id"].encode("ascii")),
            (b"server-timing", timing.encode("ascii")),
            *self._constant,
            *self._cors.headers(scope, own),
            *scope.get("rate_limit", ()),
            *(default for default in _DEFAULT_HEADERS if default[0] not in named),
        ]


class Timeouts:
    """Ends requests whose body does not come (408) and whose answer does not begin (503, outcome unknown)."""

    def __init__(
        self, app: ASGIApp, body_timeout_ms: int = BODY_TIMEOUT_MS, answer_timeout_ms: int = ANSWER_TIMEOUT_MS
    ) -> None:
        self._app = app
        self._body_timeout_s = body_timeout_ms / SECOND_MS
        self._answer_timeout_s = answer_timeout_ms / SECOND_MS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body_until = asyncio.get_running_loop().time() + self._body_timeout_s
        whole = False
        begun = False

        async def receive_in_time() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(body_until):
                    message = await receive()
            except TimeoutError:
                raise Refusal("request_timeout") from None
            whole = not message.get("more_body", False)
            return message

        async def send_begun(message: Message) -> None:
            nonlocal begun
            if not begun:
                begun = True
                patience.reschedule(None)  # A stream may go on for as long as it likes.
            await send(message)

        try:
            async with asyncio.timeout(self._answer_timeout_s) as patience:
                await self._app(scope, receive_in_time, send_begun)
        except TimeoutError:
            if begun or not patience.expired():
                raise
            error = Unavailable("timed_out", outcome="unknown")
            await (await answer_error(Request(scope, receive), error))(scope, receive, send)


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
        declared = header(scope, b"content-length") or b"0"
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


def _request_id(given: bytes | None) -> str:
    """Take the caller's id if it is short and harmless in a log and a header, else make one."""
    if given and len(given) <= REQUEST_ID_LENGTH_MAX and given.isascii():
        text = given.decode("ascii")
        if text.translate(_HARMLESS).isalnum():
            return text
    return os.urandom(12).hex()


def _server_timing(spent: timings.Tally, total_ns: int) -> str:
    parts = [f"{name};dur={ms:.2f}" for name, ms in spent.items()]
    return ", ".join([*parts, f"total;dur={total_ns / 1e6:.2f}"])
