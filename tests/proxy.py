"""A small proxy between a client and a server that can misbehave on command: the network of the fault tests."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path


class Proxy:
    """Forwards every connection to one unix socket, and obeys these switches at any moment.

    Attributes:
        chunk: bytes per write towards the client; None for as they come.
        swallow_answers: the server gets every request, the client gets no answer.
        swallow_after: the answer to the request with these bytes, and every later one, is swallowed; None for none.
        hold_requests: nothing more is read from the client, as from a frozen server.
        refuse: new connections are closed at once.
        connections: how many connections were opened so far.
    """

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self.chunk: int | None = None
        self.swallow_answers = False
        self.swallow_after: bytes | None = None
        self.refuse = False
        self.connections = 0
        self._requests_flow = asyncio.Event()
        self._requests_flow.set()
        self._swallowed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()

    @property
    def hold_requests(self) -> bool:
        """Whether requests are kept from the server now."""
        return not self._requests_flow.is_set()

    @hold_requests.setter
    def hold_requests(self, held: bool) -> None:
        if held:
            self._requests_flow.clear()
        else:
            self._requests_flow.set()

    async def answer_swallowed(self) -> None:
        """Wait until the server has answered something that the client will never see."""
        await self._swallowed.wait()

    def cut(self) -> None:
        """Break every connection now, without a goodbye."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        self.connections += 1
        if self.refuse:
            writer.transport.abort()
            return
        self._tasks.add(asyncio.current_task())
        up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
        pair = {writer, up_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry_requests(reader, up_writer))
                both.create_task(self._carry_answers(up_reader, writer))
        except* (ConnectionError, EOFError):
            pass
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()
            self._tasks.discard(asyncio.current_task())

    async def close(self) -> None:
        """End everything."""
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._requests_flow.wait()
            if self.swallow_after is not None and self.swallow_after in data:
                self.swallow_answers = True
            writer.write(data)
            await writer.drain()
        raise EOFError

    async def _carry_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.swallow_answers:
                self._swallowed.set()
                continue
            step = self.chunk or len(data)
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
                await writer.drain()
                if self.chunk:
                    await asyncio.sleep(0)  # The client's loop is this one: it reads each piece by itself.
        raise EOFError


@contextlib.asynccontextmanager
async def open_proxy(upstream: Path, listen: Path | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator:
    """Run a proxy before the unix socket `upstream`; yield it with its `url`.

    Args:
        upstream: the server's socket.
        listen: the socket to make; None listens on a free TCP port of localhost, with TLS if `tls` is given.
    """
    proxy = Proxy(upstream)
    if listen is not None:
        server = await asyncio.start_unix_server(proxy.serve, listen)
        proxy.url = f"unix://{listen}"
    else:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        proxy.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{port}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
