"""An end to the requests that a process works on at once: one more is turned away at once, and cheaply.

Without it twice as many as can be served are all begun, all wait for each other, and none is answered in time. What
tells is how long a turn of the event loop takes, in which everything that can go on goes on: many requests that
wait for a database which is away cost nothing, and must not keep out those who only need Redis.
"""

import asyncio
import math
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware import AnswerHeaders, request_id_of
from api.problems import answer_error
from api.rate_limits import UNLIMITED
from api.routes import full_path
from engine.errors import Unavailable
from engine.limits import REQUESTS_ALWAYS_SERVED, REQUESTS_AT_ONCE_MAX, SECOND_MS, TURN_MAX_MS
from engine.settings import Settings

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers, body."""
_NEVER = frozenset(map(full_path, UNLIMITED))


class Crowd:
    """The outermost layer: 503 `overloaded`, definite, for what is too much. Nothing of it was begun.

    Gateways' events and probes pass: money that was captured is never turned away, and a probe must see the truth.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        at_once_max: int = REQUESTS_AT_ONCE_MAX,
        few: int = REQUESTS_ALWAYS_SERVED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._headers = AnswerHeaders(settings)
        self._at_once_max = at_once_max
        self._few = few
        self._clock = clock
        self._at_once = self._turned_away = 0
        self._turn_s = 0.0
        self._is_measuring = False
        self._told_at_s = -math.inf
        self._problem: dict[str, Any] = {}
        self._own_headers: list[tuple[bytes, bytes]] = []
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or turn it away."""
        if scope["type"] != "http" or scope["path"] in _NEVER:
            await self._app(scope, receive, send)
            return
        answer = self.turned_away(scope)
        if answer is not None:
            status, headers, body = answer
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return
        self._at_once += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._at_once -= 1

    def turned_away(self, scope: Scope) -> Answer | None:
        """Give the answer to a request that is too much, None for one that is welcome.

        `api/http_protocol.py` asks this before there is a task for the request; whoever comes in then is asked again.
        """
        if self._at_once < self._few or not self._is_too_much() or scope["path"] in _NEVER:
            return None
        return self._turn_away(scope)

    def _is_too_much(self) -> bool:
        if not self._is_measuring:
            self._is_measuring = True
            asyncio.get_running_loop().call_soon(self._turned, self._clock())
        return self._at_once >= self._at_once_max or self._turn_s > TURN_MAX_MS / SECOND_MS

    def _turned(self, began_s: float) -> None:
        self._is_measuring = False
        self._turn_s = self._clock() - began_s

    def _turn_away(self, scope: Scope) -> Answer:
        """Answer as any failure is answered; what is the same each time is made once: most of a rush end here."""
        self._tell()
        if not self._problem:
            error = Unavailable("overloaded", "this process serves as many requests as it can")
            response = answer_error(Request(scope), error)
            self._problem = msgspec.json.decode(response.body)
            self._own_headers = [header for header in response.raw_headers if header[0] != b"content-length"]
        request_id = scope["request_id"] = request_id_of(scope)
        body = msgspec.json.encode(self._problem | {"instance": scope["path"], "request_id": request_id})
        own = [*self._own_headers, (b"content-length", b"%d" % len(body))]
        return HTTPStatus.SERVICE_UNAVAILABLE, self._headers.of(scope, own), body

    def _tell(self) -> None:
        """Log once a second: a line for each would make them dear."""
        self._turned_away += 1
        now_s = self._clock()
        if now_s - self._told_at_s >= 1:
            self._log.warning("requests_turned_away", requests=self._turned_away)
            self._told_at_s, self._turned_away = now_s, 0
