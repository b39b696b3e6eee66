"""A small HTTP server inside the test: an integrator's endpoint that answers as it is told, and keeps what came."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with the next of `answers`, the last of them for ever; None: it reads, and never answers."""

    url: str = ""
    answers: deque[bytes | None] = field(default_factory=lambda: deque([status(200)]))
    received: list[Received] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def will(self, *answers):
        """Set the answers."""
        self.answers = deque(answers)

    async def wait_for(self, count):
        """Wait until so many requests have come."""
        async with asyncio.timeout(10), self.came:
            await self.came.wait_for(lambda: len(self.received) >= count)

    async def serve(self, reader, writer):
        """Take one request; connections are not used twice."""
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            async with self.came:
                self.received.append(Received(head[0].split(" ")[1], headers, body))
                self.came.notify_all()
            answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller has gone
        finally:
            self.open_now -= 1
            writer.close()


def status(code, *headers, body=b""):
    """Give an answer."""
    lines = [f"HTTP/1.1 {code} Word", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def open_receiver(**options):
    """Run a receiver for the length of a block; `options` of `asyncio.start_server`, e.g. `ssl`."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, **options)
    port = server.sockets[0].getsockname()[1]
    receiver.url = f"http{'s' if 'ssl' in options else ''}://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        server.close()
