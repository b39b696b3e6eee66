"""HTTP/1.1 as uvicorn speaks it, with an end to headers: their size, their number, and the time they may take.

A body is bounded by the application (`api/middleware.py`); headers are over before it is asked. What uvicorn does for
every answer and every connection anew is done here once, where the answers are our own: see `Exchange`.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.problems import MEDIA_TYPE, PAGES, PROBLEMS
from engine.limits import HEADERS_MAX, HEADERS_MAX_BYTES, HEADERS_TIMEOUT_MS, SECOND_MS


class GuardedProtocol(HttpToolsProtocol):
    """One connection; it is closed when the headers of a request grow too large (431) or do not end in time (408)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_since_s: float | None = None
        self._drops_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a first request as long as for the next one."""
        super().connection_made(transport)
        self._wait_for_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
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
        self._idle_since_s = None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Judge whole headers, also such as came in one piece with a body."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_waiting()
        size = len(self.url) + 4 * len(self.headers)
        for name, value in self.headers:
            size += len(name) + len(value)
        if len(self.headers) > HEADERS_MAX or size > HEADERS_MAX_BYTES:
            self._refuse("headers_too_large")
        else:
            self._begin()

    def _begin(self) -> None:
        """Let the application serve what the headers ask for, after what this connection has asked for before.

        As uvicorn's own, but for its limits on concurrency (`api/crowd.py` has ours) and with an `Exchange`. Whom the
        application turns away needs neither that nor a task: a rush that is far too much must cost as little as can be.
        """
        self._idle_since_s = None
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        if parser.should_upgrade() and self._should_upgrade():
            return
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + url.path
        scope["query_string"] = url.query or b""
        before = self.cycle
        is_next = before is None or before.response_complete
        turned_away = getattr(self.app, "turned_away", None)
        if turned_away is not None and is_next and not self.flow.write_paused:
            answer = turned_away(scope)
            if answer is not None:
                # Whoever waits to be told whether to send the body may send it or not now: nobody can tell which.
                keeps = version != "1.0" and parser.should_keep_alive() and not self.expect_100_continue
                self._answer_at_once(*answer, keep_alive=keeps)
                return
        self.cycle = Exchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if is_next:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _answer_at_once(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, *, keep_alive: bool
    ) -> None:
        """Answer before there is anything that could be served; the body of the request is dropped as it comes."""
        self.cycle, self._drops_body = None, True  # type: ignore[assignment]  # as before a first request
        head = head_of(status, [*self.server_state.default_headers, *headers], keep_alive=keep_alive)
        self.transport.write(head if self.scope["method"] == "HEAD" else head + body)
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Drop the body of a request that was refused."""
        if not self.transport.is_closing() and not self._drops_body:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes are headers again."""
        self._in_head = True
        if not self.transport.is_closing() and not self._drops_body:
            super().on_message_complete()
        self._drops_body = False

    # --- Connections that are kept: one timer for as long as it lives, and not one for each of its requests

    def on_response_complete(self) -> None:
        """Go on with what came meanwhile, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_at(self._idle_since_s + self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Something comes: only a request ends the wait, and not what is left of a body that nobody reads."""

    def timeout_keep_alive_handler(self) -> None:
        """Close what has been idle long enough; look again when what is idle would have been."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing():
            return
        now_s = self.loop.time()
        until_s = (now_s if self._idle_since_s is None else self._idle_since_s) + self.timeout_keep_alive
        if until_s <= now_s:
            self.transport.close()
        else:
            self._look_again_at(until_s)

    def _look_again_at(self, at_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_at(at_s, self.timeout_keep_alive_handler)

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


def head_of(status: int, headers: list[tuple[bytes, bytes]], *, keep_alive: bool) -> bytes:
    """Write down the head of an answer whose length is among its headers.

    Raises:
        RuntimeError: a header would end before its line, and what follows would be the caller's own headers.
    """
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers) or b"\0" in lines:
        raise RuntimeError("a header of the answer has more than one line")
    return STATUS_LINE[status] + lines + (b"\r\n" if keep_alive else b"connection: close\r\n\r\n")


class Exchange(RequestResponseCycle):
    """One request and its answer. An answer of known length leaves in one write, head and body.

    uvicorn writes both by themselves, and looks at each byte of each header by two regular expressions.
    """

    _head: bytes | None = None
    """Of an answer of known length, until its body comes, which is right behind."""

    async def send(self, message: Any) -> None:
        """Send a message of the application."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            if message["type"] != "http.response.start" or not self._prepare(
                message["status"], message.get("headers", ())
            ):
                await super().send(message)
        elif self._head is None:
            await super().send(message)
        else:
            self._write(message.get("body", b""), last=not message.get("more_body", False))

    def _prepare(self, status: int, headers: Any) -> bool:
        """Write down the head of an answer whose length is known; False if uvicorn is to deal with it.

        Raises:
            RuntimeError: as in `head_of`.
        """
        length = 0 if status in (204, 304) else None
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
            elif name in (b"connection", b"transfer-encoding"):
                return False
        if length is None:
            return False
        self._head = head_of(status, [*self.default_headers, *headers], keep_alive=self.keep_alive)
        self.response_started = True
        self.waiting_for_100_continue = False
        self.expected_content_length = 0 if self.scope["method"] == "HEAD" else length
        self.chunked_encoding = False
        return True

    def _write(self, body: bytes, *, last: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        if len(body) > self.expected_content_length or (last and len(body) < self.expected_content_length):
            raise RuntimeError(f"{len(body)} bytes of body came of {self.expected_content_length}")
        assert self._head is not None
        self.transport.write(self._head + body)
        self._head = None
        self.expected_content_length -= len(body)
        if last:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
