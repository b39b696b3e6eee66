"""An end to headers: a real server in this process, spoken to by hand."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn

from api import http_protocol
from api.http_protocol import GuardedProtocol
from engine.limits import HEADERS_MAX, HEADERS_MAX_BYTES


async def app(scope, receive, send):
    """Say how many headers and bytes of body came."""
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = f"{len(scope['headers'])} {size}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connect(keep_alive_s=5):
    """Run a server for the length of a block; gives a connection to it."""
    config = uvicorn.Config(app, http=GuardedProtocol, port=0, lifespan="off", log_level="critical")
    config.timeout_keep_alive = keep_alive_s
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.close()
    server.should_exit = True
    await running


async def answer_of(reader) -> tuple[int, bytes]:
    """Read one answer; give status and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    (length,) = [int(line.split(":")[1]) for line in head if line.startswith("content-length:")]
    return int(head[0].split()[1]), await reader.readexactly(length)


def request(headers=(), body=b"", target="/") -> bytes:
    """Give a POST as it is sent."""
    lines = [f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_requests_within_the_limits_pass_one_after_the_other():
    """Also with a body much larger than headers may be, and two requests in one piece."""
    async with connect() as (reader, writer):
        for headers, body in ((["A: b"] * (HEADERS_MAX - 2), b""), ([], b"x" * (2 * HEADERS_MAX_BYTES)), ([], b"x")):
            writer.write(request(headers, body))
            assert await answer_of(reader) == (200, b"%d %d" % (2 + len(headers), len(body)))
        writer.write(request(body=b"one") + request(body=b"three"))
        assert [await answer_of(reader) for _ in range(2)] == [(200, b"2 3"), (200, b"2 5")]


@pytest.mark.parametrize(
    "sent",
    [
        request(["A: b"] * HEADERS_MAX),
        request([f"A: {'b' * HEADERS_MAX_BYTES}"]),
        request(target="/" + "b" * HEADERS_MAX_BYTES),
        request([f"A: {'b' * HEADERS_MAX_BYTES}"])[:-4],
        b"POST /" + b"b" * (HEADERS_MAX_BYTES + 1),
    ],
    ids=["number", "size", "target", "header without end", "target without end"],
)
async def test_headers_beyond_the_limits_are_refused_and_the_line_is_closed(sent):
    """431 as a problem, whether or not the headers ever end; also after a request that was fine."""
    async with connect() as (reader, writer):
        writer.write(request())
        assert (await answer_of(reader))[0] == 200
        writer.write(sent)
        status, body = await answer_of(reader)
        assert (status, json.loads(body)["code"]) == (431, "headers_too_large")
        assert await reader.read() == b""


async def test_headers_that_do_not_end_in_time_are_given_up(monkeypatch):
    """However steadily a client drips them."""
    monkeypatch.setattr(http_protocol, "HEADERS_TIMEOUT_MS", 100)
    async with connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost:")
        answer = asyncio.ensure_future(answer_of(reader))
        while not answer.done():
            writer.write(b" ")
            await asyncio.sleep(0.01)
        status, body = await answer
        assert (status, json.loads(body)["code"]) == (408, "request_timeout")
        with suppress(ConnectionResetError):  # a last drip, sent before the answer was seen, meets a closed socket
            assert await reader.read() == b""


async def test_who_connects_and_says_nothing_is_not_waited_for_longer_than_between_requests():
    """An idle connection is closed without a word."""
    async with connect(keep_alive_s=0.05) as (reader, _):
        assert await asyncio.wait_for(reader.read(), 5) == b""
