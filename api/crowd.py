"""An end to the requests that a process works on at once: one more is turned away at once, and cheaply.

Without it twice as many as can be served are all begun, all wait for each other, and none is answered in time.
"""

import math
import time

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cors import Cors
from api.middleware import request_id_of
from api.problems import answer_error
from api.rate_limits import UNLIMITED
from api.routes import full_path
from engine.errors import Unavailable
from engine.limits import REQUESTS_AT_ONCE_MAX
from engine.settings import Settings

_NEVER = frozenset(map(full_path, UNLIMITED))


class Crowd:
    """The outermost layer: 503 `overloaded`, definite, for what is too much. Nothing of it was begun.

    Gateways' events and probes pass: money that was captured is never turned away, and a probe must see the truth.
    """

    def __init__(self, app: ASGIApp, settings: Settings, at_once_max: int = REQUESTS_AT_ONCE_MAX) -> None:
        self._app = app
        self._cors = Cors(settings.cors_origins)
        self._at_once_max = at_once_max
        self._at_once = self._turned_away = 0
        self._told_at_s = -math.inf
        self._log = structlog.get_logger().bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or turn it away."""
        if scope["type"] != "http" or scope["path"] in _NEVER:
            await self._app(scope, receive, send)
        elif self._at_once >= self._at_once_max:
            await self._turn_away(scope, receive, send)
        else:
            self._at_once += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._at_once -= 1

    async def _turn_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._tell()
        scope["request_id"] = request_id_of(scope)
        error = Unavailable("overloaded", "this process serves as many requests as it can")
        response = await answer_error(Request(scope), error)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                named = (b"x-request-id", scope["request_id"].encode("ascii"))
                message["headers"] = [*own, named, (b"cache-control", b"no-store"), *self._cors.headers(scope, own)]
            await send(message)

        await response(scope, receive, send_named)

    def _tell(self) -> None:
        """Log once a second: a line for each would make them dear."""
        self._turned_away += 1
        now_s = time.monotonic()
        if now_s - self._told_at_s >= 1:
            self._log.warning("requests_turned_away", requests=self._turned_away)
            self._told_at_s, self._turned_away = now_s, 0
