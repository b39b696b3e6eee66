"""What every request that is let in passes, as plain ASGI: its id, size, time, headers, its line in the log."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

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


class AnswerHeaders:
    """What every answer of the application carries beside its own headers."""

    def __init__(self, settings: Settings) -> None:
        self._cors = Cors(settings.cors_origins)
        self._constant = [*_CONSTANT_HEADERS]
        if settings.public_url.startswith("https://"):
            self._constant.append(_STRICT_TRANSPORT)

    def of(self, scope: Scope, own: Sequence[RawHeader]) -> list[RawHeader]:
        """Give an answer's own headers with ours added; the scope knows its `request_id`."""
        named = {name for name, _ in own}
        return [
            *own,
            (b"x-request-id", scope["request_id"].encode("ascii")),
            *self._constant,
            *self._cors.headers(scope, own),
            *scope.get("rate_limit", ()),
            *(default for default in _DEFAULT_HEADERS if default[0] not in named),
        ]

    def preflight(self, scope: Scope) -> Response:
        """Answer a browser that asks what it may ask for."""
        return Response(status_code=204, headers=self._cors.preflight(scope))


class Edge:
    """What every request that is let in passes: it gets an id, is measured, hardened and logged; crashes end here."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = AnswerHeaders(settings)
        # Bound once: binding per request would cost as much as the rest of this class.
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_ns = time.perf_counter_ns()
        request_id = scope["request_id"] = request_id_of(scope)
        spent = timings.begin()
        status = 0

        async def send_hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                timing = _server_timing(spent, time.perf_counter_ns() - started_ns)
                own = [*message.get("headers", ()), (b"server-timing", timing.encode("ascii"))]
                message["headers"] = self._headers.of(scope, own)
            await send(message)

        try:
            if is_preflight(scope):
                await self._headers.preflight(scope)(scope, receive, send_hardened)
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


class Timeouts:
    """Ends requests whose body does not come (408) and whose answer does not begin (503, outcome unknown)."""

    def __init__(
        self, app: ASGIApp, body_timeout_ms: int = BODY_TIMEOUT_MS, answer_timeout_ms: int = ANSWER_TIMEOUT_MS
    ) -> None:
        self._app = app
        self._bodies = _Patience(body_timeout_ms, _Exchange.give_up_body)
        self._answers = _Patience(answer_timeout_ms, _Exchange.give_up_answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, self._bodies, self._answers)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not exchange.was_given_up():
                raise
            error = Unavailable("timed_out", outcome="unknown")
            await (await answer_error(Request(scope, receive), error))(scope, receive, send)
        finally:
            exchange.end()


class _Exchange:
    """One request and its answer, as far as somebody waits for them; the application gets its `receive` and `send`."""

    # fmt: off
    __slots__ = (
        "_answers", "_begun", "_bodies", "_cancels", "_cut", "_given_up", "_late", "_loop", "_reader", "_receive",
        "_send", "_task", "_whole",
    )
    # fmt: on

    def __init__(self, receive: Receive, send: Send, bodies: "_Patience", answers: "_Patience") -> None:
        self._receive, self._send = receive, send
        self._bodies, self._answers = bodies, answers
        self._loop = asyncio.get_running_loop()
        self._task = _this_task(self._loop)
        self._cancels = self._task.cancelling()
        self._reader: asyncio.Task[Any] | None = None
        self._whole = self._late = self._cut = self._begun = self._given_up = False
        bodies.begin(self, self._loop)
        answers.begin(self, self._loop)

    async def receive(self) -> Message:
        """Give the next message; Refusal `request_timeout` if it is of a body that does not come in time."""
        if self._whole:
            return await self._receive()
        # Who streams an answer listens in a task of its own.
        reader = self._reader = _this_task(self._loop)
        cancels = reader.cancelling()
        self._cut = False
        if self._late:
            self._loop.call_soon(self.give_up_body)  # Only what is there already is taken now.
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if self._cut and reader.uncancel() <= cancels:
                raise Refusal("request_timeout") from None
            raise
        finally:
            self._reader = None
        if not message.get("more_body", False):
            self._whole = True
            self._bodies.end(self)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the answer on. Once it has begun nobody waits for it: a stream may go on for as long as it likes."""
        if not self._begun:
            self._begun = True
            self._answers.end(self)
        return self._send(message)

    def give_up_body(self) -> None:
        """Let whoever waits for the body, now or later, wait no longer."""
        self._late = True
        if self._reader is not None and not self._cut:
            self._cut = True
            self._reader.cancel()

    def give_up_answer(self) -> None:
        """End the request."""
        self._given_up = True
        self._task.cancel()

    def was_given_up(self) -> bool:
        """Say, once, whether the task was cancelled for want of an answer and for nothing else."""
        return self._given_up and not self._begun and self._task.uncancel() <= self._cancels

    def end(self) -> None:
        """Wait for nothing any more."""
        self._bodies.end(self)
        self._answers.end(self)


class _Patience:
    """Gives up the exchanges that take too long. All may take equally long, so one timer, for the oldest, serves all.

    A timer for each would be among the dearest things that a claim does.
    """

    def __init__(self, timeout_ms: int, give_up: Callable[[_Exchange], None]) -> None:
        self._timeout_s = timeout_ms / SECOND_MS
        self._give_up = give_up
        self._until: dict[_Exchange, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, exchange: _Exchange, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for it from now on."""
        if loop is not self._loop:  # The first one; or another, and the former took its timer with it.
            self._loop, self._timer = loop, None
            self._until.clear()
        until = self._until[exchange] = loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = loop.call_at(until, self._look, loop)

    def end(self, exchange: _Exchange) -> None:
        """Wait for it no longer. The timer stays, for the next one."""
        self._until.pop(exchange, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._until:
            oldest, until = next(iter(self._until.items()))
            if until > loop.time():
                self._timer = loop.call_at(until, self._look, loop)
                return
            del self._until[oldest]
            self._give_up(oldest)


def _this_task(loop: asyncio.AbstractEventLoop) -> "asyncio.Task[Any]":
    task = asyncio.current_task(loop)
    assert task is not None, "requests are served by tasks"
    return task


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


def request_id_of(scope: Scope) -> str:
    """Take the caller's id if it is short and harmless in a log and a header, else make one."""
    given = header(scope, b"x-request-id")
    if given and len(given) <= REQUEST_ID_LENGTH_MAX and given.isascii():
        text = given.decode("ascii")
        if text.translate(_HARMLESS).isalnum():
            return text
    return os.urandom(12).hex()


def _server_timing(spent: timings.Tally, total_ns: int) -> str:
    parts = [f"{name};dur={ms:.2f}" for name, ms in spent.items()]
    return ", ".join([*parts, f"total;dur={total_ns / 1e6:.2f}"])
