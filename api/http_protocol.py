"""HTTP/1.1 as uvicorn speaks it, with an end to headers: their size, their number, and the time they may take.

A body is bounded by the application (`api/middleware.py`); headers are over before it is asked.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.problems import MEDIA_TYPE, PAGES, PROBLEMS
from engine.limits import HEADERS_MAX, HEADERS_MAX_BYTES, HEADERS_TIMEOUT_MS, SECOND_MS


class GuardedProtocol(HttpToolsProtocol):
    """One connection; it is closed when the headers of a request grow too large (431) or do not end in time (408)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a first request as long as for the next one."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the end of the headers."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            return
        if self._head_bytes > HEADERS_MAX_BYTES:
            self._refuse("headers_too_large")
        elif self._head_bytes and self._head_timer is None and not self.transport.is_closing():
            # Headers that came in one piece never get here: most need no timer.
            self._head_timer = self.loop.call_later(HEADERS_TIMEOUT_MS / SECOND_MS, self._refuse, "request_timeout")

    def on_message_begin(self) -> None:
        """Take note that headers begin; what is left of the chunk before them is not theirs."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Judge whole headers, also such as came in one piece with a body."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_waiting()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if len(self.headers) > HEADERS_MAX or size > HEADERS_MAX_BYTES:
            self._refuse("headers_too_large")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Drop the body of a request that was refused."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes are headers again."""
        self._in_head = True
        if not self.transport.is_closing():
            super().on_message_complete()

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, code: str) -> None:
        """Answer with a problem, and close: nothing that follows can be trusted to be a request."""
        if self.transport.is_closing():
            return
        problem = PROBLEMS[code]
        body = msgspec.json.encode(
            {
                "type": PAGES + code,
                "title": problem.title,
                "status": problem.status,
                "detail": problem.help,
                "code": code,
            }
        )
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
