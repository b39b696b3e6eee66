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
async def serve(application, keep_alive_s=5):
    """Run a server of another application; gives a connection to it."""
    # As in engine/serving.py: with proxy_headers the application would stand behind one of uvicorn's own.
    options = {"proxy_headers": False, "lifespan": "off", "log_level": "critical"}
    config = uvicorn.Config(application, http=GuardedProtocol, port=0, **options)
    config.timeout_keep_alive = keep_alive_s
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    yield reader, writer
    writer.close()
    server.should_exit = True
    await running


def connect(keep_alive_s=5):
    """Run a server of the application above; gives a connection to it."""
    return serve(app, keep_alive_s)


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


def answering(*messages):
    """An application that sends these messages, whatever is asked."""

    async def application(scope, receive, send):
        for message in messages:
            await send(message)

    return application


def start(*headers, status=200):
    """The beginning of an answer."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body, more=False):
    """A part of its body."""
    return {"type": "http.response.body", "body": body, "more_body": more}


FIVE = (b"content-length", b"5")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([start(FIVE), part(b"hello")], b"hello"),
        ([start(FIVE), part(b"he", more=True), part(b"llo")], b"hello"),
        ([start(FIVE), part(b"he", more=True), part(b"llo", more=True), part(b"")], b"hello"),
        ([start(status=204), part(b"")], b""),
        ([start((b"etag", b"x"), status=304), part(b"")], b""),
        ([start(CHUNKED), part(b"hel", more=True), part(b"lo")], b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
        ([start(), part(b"hello")], b"5\r\nhello\r\n0\r\n\r\n"),
    ],
    ids=["whole", "two parts", "three parts", "204", "304", "chunked", "of no said length"],
)  # fmt: skip
async def test_an_answer_arrives_whole_in_whatever_parts_it_was_sent(messages, body, method):
    """And a second one on the same connection; a HEAD gets the head alone."""
    async with serve(answering(*messages)) as (reader, writer):
        for _ in range(2):
            writer.write(f"{method} / HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % messages[0]["status"])
            if method == "GET":
                assert await reader.readexactly(len(body)) == body


@pytest.mark.parametrize(
    "messages",
    [
        [start((b"x", b"a\r\nset-cookie: b"), FIVE), part(b"hello")],
        [start((b"x", b"a\nset-cookie: b"), FIVE), part(b"hello")],
        [start((b"x\r\ny", b"a"), FIVE), part(b"hello")],
        [start((b"x", b"a\0"), FIVE), part(b"hello")],
    ],
    ids=["line", "bare line feed", "name", "zero byte"],
)
async def test_a_header_never_ends_before_its_line(messages):
    """Whatever a handler would say: nobody's text becomes a header of its own."""
    async with serve(answering(*messages)) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in head


@pytest.mark.parametrize("messages", [[start(FIVE), part(b"hell")], [start(FIVE), part(b"hello!")]])
async def test_a_body_of_another_length_than_said_ends_the_connection(messages):
    """The next answer would be read as a part of this one."""
    async with serve(answering(*messages)) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == b""


@pytest.mark.parametrize("head", ["HTTP/1.0", "HTTP/1.1\r\nconnection: close"])
async def test_who_wants_one_answer_gets_it_and_the_connection_ends(head):
    """With the word that says so."""
    async with serve(answering(start(FIVE), part(b"hello"))) as (reader, writer):
        writer.write(f"GET / {head}\r\nhost: x\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b"hello")


async def test_a_connection_is_kept_as_long_as_something_comes():
    """One timer for all of its requests: it is closed when it was idle for the time, not before, nor for ever."""
    async with serve(answering(start(FIVE), part(b"hello")), keep_alive_s=0.3) as (reader, writer):
        began_s = asyncio.get_running_loop().time()
        for _ in range(4):
            await asyncio.sleep(0.15)
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            await answer_of(reader)
        idle_s = asyncio.get_running_loop().time()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert idle_s - began_s > 0.55
        assert 0.25 < asyncio.get_running_loop().time() - idle_s < 3


async def full(scope, receive, send):
    """The application above, for those who get to it."""
    await app(scope, receive, send)


def turned_away(scope):
    """Turn away whoever asks for /full."""
    body = b"full"
    return (503, [(b"content-length", b"4")], body) if scope["path"] == "/full" else None


full.turned_away = turned_away


async def test_who_is_turned_away_gets_the_answer_alone_and_the_next_is_served():
    """The body of a request that was turned away is nobody's, however it comes; the connection stays."""
    async with serve(full) as (reader, writer):
        for size in (0, 5, 300_000):
            writer.write(request(body=b"x" * size, target="/full"))
            assert await answer_of(reader) == (503, b"full")
            writer.write(request(body=b"three"))
            assert await answer_of(reader) == (200, b"2 5")
        sent = request(body=b"three")
        writer.write(request(body=b"in two pieces", target="/full")[:-7])
        assert await answer_of(reader) == (503, b"full")
        writer.write(b" pieces" + sent)
        assert await answer_of(reader) == (200, b"2 5")


async def test_answers_keep_their_order_where_somebody_is_turned_away():
    """Whoever has sent one request behind the other is answered one after the other."""
    async with serve(full) as (reader, writer):
        writer.write(request(body=b"one") + request(target="/full") + request(body=b"three") + request(target="/full"))
        assert [await answer_of(reader) for _ in range(4)] == [
            (200, b"2 3"),
            *((200, b"2 0"), (200, b"2 5")),
            (200, b"2 0"),
        ]
        writer.write(request(target="/full") + request(body=b"three"))
        assert [await answer_of(reader) for _ in range(2)] == [(503, b"full"), (200, b"2 5")]


@pytest.mark.parametrize(
    ("sent", "body", "stays"),
    [
        (b"HEAD /full HTTP/1.1\r\nHost: x\r\n\r\n", b"", True),
        (b"GET /full HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"full", False),
        (b"GET /full HTTP/1.0\r\nHost: x\r\n\r\n", b"full", False),
    ],
    ids=["head", "close", "1.0"],
)
async def test_a_turning_away_is_an_answer_like_any_other(sent, body, stays):
    """HEAD has no body, and who wants the connection closed has it closed."""
    async with serve(full) as (reader, writer):
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert await reader.readexactly(len(body)) == body
        assert (b"connection: close" in head.lower()) == (not stays)
        if stays:
            writer.write(request(body=b"three"))
            assert await answer_of(reader) == (200, b"2 5")
        else:
            assert await reader.read() == b""


@pytest.mark.parametrize("rest", [b"", b"x", b"xx"], ids=["nothing", "a part", "all"])
@pytest.mark.parametrize("target", ["/full", "/"])
async def test_a_body_that_nobody_waits_for_keeps_no_connection_open(target, rest):
    """An answer that came before the body ends the request: what follows of it, or does not, is no sign of life."""
    early = answering(start(FIVE), part(b"hello"))

    async def application(scope, receive, send):
        await early(scope, receive, send)

    application.turned_away = turned_away
    async with serve(application, keep_alive_s=0.3) as (reader, writer):
        writer.write(request(body=b"xx", target=target)[:-2])
        await answer_of(reader)
        writer.write(rest)
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_what_comes_behind_a_dropped_body_is_served_in_its_own_time():
    """The time between requests ends where the next one begins, also in the same piece as the end of such a body."""
    answers = asyncio.Event()

    async def application(scope, receive, send):
        await answers.wait()
        await app(scope, receive, send)

    application.turned_away = turned_away
    async with serve(application, keep_alive_s=0.2) as (reader, writer):
        writer.write(request(body=b"xx", target="/full")[:-1])
        assert await answer_of(reader) == (503, b"full")
        writer.write(b"x" + request(body=b"three"))
        asyncio.get_running_loop().call_later(0.6, answers.set)
        assert await answer_of(reader) == (200, b"2 5")


async def test_who_waits_for_a_word_before_the_body_is_turned_away_for_good():
    """It may send the body or not: nobody can tell what comes next on that connection."""
    async with serve(full) as (reader, writer):
        writer.write(request(["Expect: 100-continue"], b"xx", "/full")[:-2])
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in head.lower()
        assert await asyncio.wait_for(reader.read(), 5) == b"full"
