"""What every request that is let in passes, as plain ASGI: its id, size, time, headers, its line in the log.

One layer, and one object for each request (`Visit`), instead of a layer for each of these.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cors import Cors, RawHeader, header, is_preflight
from api.problems import answer_crash, answer_error, answer_http
from engine import timings
from engine.errors import Refusal, SeatlockError, Unavailable
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
_DEFAULT_NAMES = frozenset(name for name, _ in _DEFAULT_HEADERS)
_STRICT_TRANSPORT: RawHeader = (b"strict-transport-security", b"max-age=31536000")
_HARMLESS = str.maketrans(dict.fromkeys("-_.:", "0"))
_BODYLESS = frozenset({"GET", "HEAD", "OPTIONS"})


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
        headers = [*own, (b"x-request-id", scope["request_id"].encode("ascii")), *self._constant]
        headers += self._cors.headers(scope, own)
        headers += scope.get("rate_limit", ())
        if named.isdisjoint(_DEFAULT_NAMES):
            headers += _DEFAULT_HEADERS
        else:
            headers += [default for default in _DEFAULT_HEADERS if default[0] not in named]
        return headers

    def preflight(self, scope: Scope) -> Response:
        """Answer a browser that asks what it may ask for."""
        return Response(status_code=204, headers=self._cors.preflight(scope))


class Edge:
    """What every request that is let in passes: it gets an id, is measured, hardened and logged; failures end here.

    A body that does not come in time is 408, an answer that does not begin 503 (outcome unknown), a body over the
    limit, declared or streamed, 413 when the handler comes to read it.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        body_timeout_ms: int = BODY_TIMEOUT_MS,
        answer_timeout_ms: int = ANSWER_TIMEOUT_MS,
    ) -> None:
        self._app = app
        self._headers = AnswerHeaders(settings)
        self._bodies = Patience(body_timeout_ms, Visit.give_up_body)
        self._answers = Patience(answer_timeout_ms, Visit.give_up_answer)
        # Bound once: binding per request would cost as much as the rest of this class.
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = Visit(scope, receive, send, self._headers, self._bodies, self._answers)
        try:
            if is_preflight(scope):
                await self._headers.preflight(scope)(scope, receive, visit.send)
            else:
                await self._app(scope, visit.receive, visit.send)
        except asyncio.CancelledError:
            if not visit.was_given_up():
                raise
            error = Unavailable("timed_out", outcome="unknown")
            await answer_error(Request(scope), error)(scope, receive, visit.send)
        except ClientDisconnect:
            visit.status = visit.status or GONE_STATUS
        except Exception as error:
            if visit.status:
                raise
            await _answer_to(error, Request(scope))(scope, receive, visit.send)
        finally:
            visit.end()
            if self._log.is_enabled_for(logging.INFO):
                self._tell(visit)

    def _tell(self, visit: "Visit") -> None:
        scope = visit.scope
        identity = scope.get("identity")
        self._log.info(
            "request",
            request_id=scope["request_id"],
            method=scope["method"],
            # The template, not the path: an id in a path may be a secret, such as a ticket's code.
            route=scope.get("route_path", ""),
            status=visit.status,
            ms=round(visit.took_ms(), 2),
            subject=identity.subject if identity else None,
        )


class Visit:
    """One request and its answer; the application gets its `receive` and `send`.

    Attributes:
        scope: of the request.
        status: of the answer, 0 before it has begun.
    """

    # fmt: off
    __slots__ = (
        "_answers", "_bodies", "_cancels", "_cut", "_given_up", "_headers", "_late", "_left", "_limit", "_loop",
        "_reader", "_receive", "_send", "_spent", "_started_ns", "_task", "_whole", "scope", "status",
    )
    # fmt: on

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: AnswerHeaders,
        bodies: "Patience",
        answers: "Patience",
    ) -> None:
        self._started_ns = time.perf_counter_ns()
        self.scope, self._receive, self._send = scope, receive, send
        self._headers, self._bodies, self._answers = headers, bodies, answers
        self.status = 0
        scope["request_id"] = request_id_of(scope)
        self._spent = timings.begin()
        self._loop = asyncio.get_running_loop()
        self._task = _this_task(self._loop)
        self._cancels = self._task.cancelling()
        self._reader: asyncio.Task[Any] | None = None
        self._whole = self._late = self._cut = self._given_up = False
        self._left = self._limit = -1
        answers.begin(self, self._loop)

    def took_ms(self) -> float:
        """Give how long it took until now."""
        return (time.perf_counter_ns() - self._started_ns) / 1e6

    # --- The request's body

    async def receive(self) -> Message:
        """Give the next message.

        Raises:
            Refusal: `request_timeout`: the body does not come in time; `body_too_large`.
        """
        if self._whole:
            return await self._receive()
        if self._limit < 0:
            self._begin_body()
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
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise Refusal("body_too_large", limit_bytes=self._limit)
        return message

    def _begin_body(self) -> None:
        """Judge what is declared, and begin to wait for the body; whoever reads it too late gets only what is there."""
        limit = CATALOGUE_BODY_MAX_BYTES if self.scope["path"].startswith(OPERATORS_PREFIX) else BODY_MAX_BYTES
        self._left = self._limit = limit
        if self.scope["method"] not in _BODYLESS:
            declared = header(self.scope, b"content-length") or b"0"
            if not declared.isdigit() or int(declared) > limit:
                raise Refusal("body_too_large", limit_bytes=limit)
        self._late = self.took_ms() > self._bodies.timeout_ms
        self._bodies.begin(self, self._loop)

    def give_up_body(self) -> None:
        """Let whoever waits for the body, now or later, wait no longer."""
        self._late = True
        if self._reader is not None and not self._cut:
            self._cut = True
            self._reader.cancel()

    # --- Its answer

    def send(self, message: Message) -> Awaitable[None]:
        """Pass the answer on, hardened. Once it has begun nobody waits for it: a stream may last for long."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._answers.end(self)
            own = [*message.get("headers", ()), (b"server-timing", self._server_timing())]
            message["headers"] = self._headers.of(self.scope, own)
        return self._send(message)

    def _server_timing(self) -> bytes:
        text = ""
        for name, ms in self._spent.items():
            text += f"{name};dur={ms:.2f}, "
        return f"{text}total;dur={self.took_ms():.2f}".encode("ascii")

    def give_up_answer(self) -> None:
        """End the request."""
        self._given_up = True
        self._task.cancel()

    def was_given_up(self) -> bool:
        """Say, once, whether the task was cancelled for want of an answer and for nothing else."""
        return self._given_up and not self.status and self._task.uncancel() <= self._cancels

    def end(self) -> None:
        """Wait for nothing any more."""
        if not self._whole:
            self._bodies.end(self)
        if not self.status:
            self._answers.end(self)


class Patience:
    """Gives up the visits that take too long. All may take equally long, so one timer, for the oldest, serves all.

    A timer for each would be among the dearest things that a claim does.
    """

    def __init__(self, timeout_ms: int, give_up: Callable[[Visit], None]) -> None:
        self.timeout_ms = timeout_ms
        self._timeout_s = timeout_ms / SECOND_MS
        self._give_up = give_up
        self._until: dict[Visit, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, visit: Visit, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for it from now on."""
        if loop is not self._loop:  # The first one; or another, and the former took its timer with it.
            self._loop, self._timer = loop, None
            self._until.clear()
        until = self._until[visit] = loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = loop.call_at(until, self._look, loop)

    def end(self, visit: Visit) -> None:
        """Wait for it no longer. The timer stays, for the next one."""
        self._until.pop(visit, None)

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


def request_id_of(scope: Scope) -> str:
    """Take the caller's id if it is short and harmless in a log and a header, else make one."""
    given = header(scope, b"x-request-id")
    if given and len(given) <= REQUEST_ID_LENGTH_MAX and given.isascii():
        text = given.decode("ascii")
        if text.translate(_HARMLESS).isalnum():
            return text
    return os.urandom(12).hex()


def _answer_to(error: Exception, request: Request) -> Response:
    if isinstance(error, SeatlockError):
        return answer_error(request, error)
    if isinstance(error, HTTPException):
        return answer_http(request, error)
    return answer_crash(request, error)
