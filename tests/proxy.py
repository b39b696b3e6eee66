"""A small proxy between clients and a server that can misbehave on command: the network of the fault tests.

async with open_proxy(upstream) as line:        Redis on a free TCP port; `line.url`
async with open_ledger_proxy(url) as line:      PostgreSQL likewise
    line.swallow_answers = True                 the answers are lost on the way
    ...
    line.heal()                                 a sound network again
"""

import asyncio
import contextlib
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PIECE = 65536
PIECES_UNDER_WAY = 64
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST instead of FIN, and drops what was not sent."""


class _Line:
    """One carried connection: `client` and `server` are its writers, `holed` says that bytes of it were lost."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.server: asyncio.StreamWriter | None = None
        self.holed = False

    def end(self, *, reset: bool) -> None:
        """Break both ends now."""
        for writer in (self.client, self.server):
            if writer is None or (writer.transport.is_closing() and not reset):
                continue  # What is closing still sends its last bytes.
            ours = writer.get_extra_info("socket")
            # A unix socket has no RST: its other side sees an end, or a reset if it left something unread.
            if reset and ours is not None and ours.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):  # it was closed in this very moment
                    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


class Proxy:
    """Forwards every connection to one server, and obeys these switches at any moment.

    Attributes:
        upstream: the server: the path of a unix socket, or (host, port).
        chunk: bytes per write towards the client; None for as they come.
        request_chunk: the same towards the server.
        delay_s: everything arrives so much later, either way and in order.
        jitter_s: and up to so much more, drawn for each piece by `chance`.
        swallow_requests: the client's bytes are lost without a word: a one-way cut.
        swallow_answers: the server gets every request, the client gets no answer: the other one-way cut.
        swallow_after: the answer to the request with these bytes, and every later one, is swallowed; None for none.
        lose_answers: this share of answers is lost together with their connection, by RST.
        stall_at: of each answer only so many bytes pass; the rest, and all that follows, waits; None for all.
        hold_requests: nothing more is read from the client, as from a frozen server.
        hold_answers: nothing more is read from the server.
        refuse: new connections are closed at once.
        mute: new connections are taken and never answered: half-open ones.
        connections: how many connections were opened so far.
    """

    def __init__(self, upstream: Path | str | tuple[str, int], *, seed: int = 0) -> None:
        self.upstream = upstream
        self.url = ""
        self.chance = random.Random(seed)
        self.connections = 0
        self._requests_flow, self._answers_flow, self._no_stall = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._swallowed = asyncio.Event()
        self._lines: set[_Line] = set()
        self._tasks: set[asyncio.Task] = set()
        self._be_sound()

    def _be_sound(self) -> None:
        self.chunk: int | None = None
        self.request_chunk: int | None = None
        self.delay_s = self.jitter_s = self.lose_answers = 0.0
        self.swallow_requests = self.swallow_answers = False
        self.swallow_after: bytes | None = None
        self.refuse = self.mute = False
        self.hold_requests = self.hold_answers = False
        self.stall_at = None

    @property
    def hold_requests(self) -> bool:
        """Whether requests are kept from the server now."""
        return not self._requests_flow.is_set()

    @hold_requests.setter
    def hold_requests(self, held: bool) -> None:
        _let_flow(self._requests_flow, not held)

    @property
    def hold_answers(self) -> bool:
        """Whether answers are kept from the client now."""
        return not self._answers_flow.is_set()

    @hold_answers.setter
    def hold_answers(self, held: bool) -> None:
        _let_flow(self._answers_flow, not held)

    @property
    def stall_at(self) -> int | None:
        """After how many bytes of an answer the rest of it stays on the way."""
        return self._stall_at

    @stall_at.setter
    def stall_at(self, position: int | None) -> None:
        self._stall_at = position
        _let_flow(self._no_stall, position is None)

    async def answer_swallowed(self) -> None:
        """Wait until the server has answered something that the client will never see."""
        await self._swallowed.wait()

    @property
    def open_connections(self) -> int:
        """How many connections are carried now."""
        return len(self._lines)

    def cut(self) -> None:
        """Break every connection now, without a goodbye."""
        for line in list(self._lines):
            line.end(reset=False)

    def reset(self) -> None:
        """Break every connection now, by RST where there is TCP."""
        for line in list(self._lines):
            line.end(reset=True)

    def heal(self) -> None:
        """Be a sound network again. Connections that have lost bytes are reset: no network hides a hole in a stream."""
        self._be_sound()
        self._swallowed.clear()
        for line in [line for line in self._lines if line.holed]:
            line.end(reset=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self.connections += 1
        line, task = _Line(writer), asyncio.current_task()
        if self.refuse:
            line.end(reset=True)
            return
        self._lines.add(line)
        self._tasks.add(task)
        try:
            if self.mute:
                line.holed = True
                while await reader.read(PIECE):
                    pass
                return
            up_reader, line.server = await self._connect()
            requests, answers = asyncio.Queue(PIECES_UNDER_WAY), asyncio.Queue(PIECES_UNDER_WAY)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._take_requests(line, reader, requests))
                both.create_task(self._bring_requests(line, requests))
                both.create_task(self._take_answers(line, up_reader, answers))
                both.create_task(self._bring_answers(line, answers))
        except* (OSError, EOFError):
            pass
        finally:
            self._lines.discard(line)
            self._tasks.discard(task)
            line.end(reset=False)

    async def close(self) -> None:
        """End everything."""
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.upstream, tuple):
            return await asyncio.open_connection(*self.upstream)
        return await asyncio.open_unix_connection(self.upstream)

    async def _take_requests(self, line: _Line, reader: asyncio.StreamReader, way: asyncio.Queue) -> None:
        while data := await reader.read(PIECE):
            await self._requests_flow.wait()
            if self.swallow_requests:
                line.holed = True
                continue
            if self.swallow_after is not None and self.swallow_after in data:
                self.swallow_answers = True
            await way.put((self._arrival_s(), data))
        await way.put((0, b""))

    async def _take_answers(self, line: _Line, reader: asyncio.StreamReader, way: asyncio.Queue) -> None:
        while data := await reader.read(PIECE):
            await self._answers_flow.wait()
            if self.swallow_answers:
                line.holed = True
                self._swallowed.set()
            elif self.lose_answers and self.chance.random() < self.lose_answers:
                line.end(reset=True)
            else:
                await way.put((self._arrival_s(), data))
        await way.put((0, b""))

    async def _bring_requests(self, line: _Line, way: asyncio.Queue) -> None:
        while data := await self._arrived(way):
            await self._write(line.server, data, self.request_chunk)
        raise EOFError

    async def _bring_answers(self, line: _Line, way: asyncio.Queue) -> None:
        while data := await self._arrived(way):
            passed = len(data) if self.stall_at is None else self.stall_at
            await self._write(line.client, data[:passed], self.chunk)
            if passed < len(data):
                await self._no_stall.wait()
                await self._write(line.client, data[passed:], self.chunk)
        line.client.close()  # What the server said last still leaves.
        raise EOFError

    def _arrival_s(self) -> float:
        late_s = self.delay_s + (self.chance.uniform(0, self.jitter_s) if self.jitter_s else 0)
        return asyncio.get_running_loop().time() + late_s if late_s else 0

    async def _arrived(self, way: asyncio.Queue) -> bytes:
        at_s, data = await way.get()
        if at_s:
            await asyncio.sleep(at_s - asyncio.get_running_loop().time())
        return data

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, chunk: int | None) -> None:
        step = chunk or len(data) or 1
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            if chunk:
                await asyncio.sleep(0)  # The client's loop may be this one: it reads each piece by itself.


def _let_flow(flow: asyncio.Event, flows: bool) -> None:
    if flows:
        flow.set()
    else:
        flow.clear()


@contextlib.asynccontextmanager
async def open_proxy(
    upstream: Path | str | tuple[str, int],
    listen: Path | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Proxy]:
    """Run a proxy before a Redis; yield it with its `url`.

    Args:
        upstream: the server's socket, or its (host, port).
        listen: the socket to make; None listens on a free TCP port, with TLS if `tls` is given.
        host: where that port is.
    """
    proxy = Proxy(upstream)
    if listen is not None:
        server = await asyncio.start_unix_server(proxy.serve, listen)
        proxy.url = f"unix://{listen}"
    else:
        server = await asyncio.start_server(proxy.serve, host, 0, ssl=tls)
        proxy.url = f"{'rediss' if tls else 'redis'}://{host}:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()


@contextlib.asynccontextmanager
async def open_ledger_proxy(database_url: str, *, host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    """Run a proxy on a free TCP port before the PostgreSQL of a URL; its `url` names the same user and database."""
    named = urlsplit(database_url)
    folder = parse_qs(named.query).get("host", [None])[0]
    port = named.port or 5432
    proxy = Proxy(Path(folder) / f".s.PGSQL.{port}" if folder else (named.hostname, port))
    server = await asyncio.start_server(proxy.serve, host, 0)
    user = f"{named.username}@" if named.username else ""
    proxy.url = f"postgresql://{user}{host}:{server.sockets[0].getsockname()[1]}{named.path}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
