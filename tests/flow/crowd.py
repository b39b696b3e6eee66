"""A crowd of customers, each on a TCP connection of its own: hundreds of requests leave in the same instant.

The general clients spend more time on choosing among hundreds of connections than the service on answering.
"""

import asyncio
import json
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from engine.accounts.tokens import Identity, Tokens


@dataclass(frozen=True)
class Answer:
    """A response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Customer:
    """A guest with a connection; one request at a time."""

    token: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def claim(self, showtime: int, seats: list[str]) -> Answer:
        """Claim seats."""
        return await self.send("POST", f"/api/v1/showtimes/{showtime}/holds", json.dumps({"seats": seats}).encode())

    async def statuses(self, showtime: int) -> dict[str, str]:
        """Give seat -> status of the seats that are not AVAILABLE, as this customer sees them."""
        answer = await self.send("GET", f"/api/v1/showtimes/{showtime}/seats")
        assert answer.status == 200, answer
        return {seat["seat"]: seat["status"] for seat in answer.body["seats"] if seat["status"] != "AVAILABLE"}

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request and wait for its answer; underscores in header names stand for dashes."""
        lines = [f"{method} {path} HTTP/1.1", "Host: seatlock.test", f"Authorization: Bearer {self.token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        fields = {name.lower(): value for name, value in pairs}
        content = await self.reader.readexactly(int(fields.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), fields, json.loads(content) if content else None)


async def gather_crowd(secret: str, urls: tuple[str, ...], size: int) -> list[Customer]:
    """Let that many guests connect, to the processes in turn."""
    tokens = Tokens(secret.encode(), 3600)
    turns = cycle(urls)
    return list(await asyncio.gather(*(_arrive(tokens, next(turns)) for _ in range(size))))


async def _arrive(tokens: Tokens, url: str) -> Customer:
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    return Customer(tokens.issue(Identity(subject=str(uuid4()), guest=True), "access"), reader, writer)
