"""What every request passes: its id, its size, its headers, its line in the log."""

import asyncio

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse

from api.auth import Access, Authenticator
from api.middleware import Edge
from api.rate_limits import RateLimits
from api.routes import Endpoint, Paths, build_routes
from engine import timings
from engine.accounts.tokens import Identity, Tokens
from engine.errors import CommandError
from engine.limits import BODY_MAX_BYTES, CATALOGUE_BODY_MAX_BYTES
from engine.settings import Settings
from tests.asgi import AsgiClient

TOKENS = Tokens(b"a secret of the tests, long enough to sign", 60)


async def size_of_body(request: Request):
    """Say how much came; spend some time."""
    timings.add("redis", 1.5)
    return PlainTextResponse(str(len(await request.body())), headers={"cache-control": "public"})


def bare(app, settings, **patience):
    """Put the edge where the application has it: right around the routes, below Starlette's own layers."""
    edge = Edge(Paths(app.router), settings, **patience)
    app.build_middleware_stack = lambda: edge
    return app


def make_app(**changes):
    """An application of a few paths behind the middleware."""
    settings = Settings(**changes)
    app = Starlette(
        routes=build_routes(
            [
                Endpoint("POST", "/things/{thing}", size_of_body, Access.PUBLIC),
                Endpoint("GET", "/things/{thing}/mine", size_of_body, Access.CUSTOMER),
                Endpoint("POST", "/admin/things", size_of_body, Access.PUBLIC),
            ]
        )
    )
    app.state.settings = settings
    app.state.authenticator = Authenticator(TOKENS)
    app.state.rate_limits = RateLimits(settings, None)
    return bare(app, settings)


@pytest.fixture
def client():
    """A client of it."""
    return AsgiClient(make_app())


@pytest.mark.parametrize("given", ["abc-123", "a.b:c_D", "x" * 128])
def test_a_harmless_request_id_comes_back(client, given):
    """So that a caller finds its request in our logs."""
    assert client.post("/api/v1/things/1", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "a b", 'a"b', "{}", "é", "a\tb"])
def test_any_other_request_id_is_made(client, given):
    """Nothing that could break a log line or a header is taken over; each request gets another."""
    headers = {} if given is None else {"x-request-id": given.encode("latin-1")}
    made = [client.post("/api/v1/things/1", headers=headers).headers["x-request-id"] for _ in range(2)]
    assert len(set(made)) == 2
    assert all(len(one) == 24 and one.isalnum() for one in made)


def test_a_body_up_to_the_limit_passes_and_one_byte_more_does_not(client):
    """Declared or not; operators may send seating plans."""

    def chunks(size):
        yield b"x" * (size - 1)
        yield b"x"

    for path, limit in (("/api/v1/things/1", BODY_MAX_BYTES), ("/api/v1/admin/things", CATALOGUE_BODY_MAX_BYTES)):
        assert client.post(path, content=b"x" * limit).text == str(limit)
        assert client.post(path, content=chunks(limit)).text == str(limit)
        for body in (b"x" * (limit + 1), chunks(limit + 1)):
            answer = client.post(path, content=body)
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
            assert answer.json()["limit_bytes"] == limit


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999"])
def test_a_made_up_length_is_too_large(client, length):
    """What is no number of bytes is not read."""
    answer = client.post("/api/v1/things/1", headers={"content-length": length})
    assert answer.status_code == 413


def test_every_answer_is_hardened_and_tells_where_its_time_went(client):
    """Errors too; a handler's own Cache-Control stays."""
    fine, missing = client.post("/api/v1/things/1"), client.get("/api/v1/things/1/mine")
    for answer in (fine, missing):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "total;dur=" in answer.headers["server-timing"]
    assert "redis;dur=1.50" in fine.headers["server-timing"]
    assert (fine.headers["cache-control"], missing.headers["cache-control"]) == ("public", "no-store")


def test_a_request_leaves_one_line_of_ids(client):
    """The template of the path, not what stood in it; the subject, not the token nor the body."""
    token = TOKENS.issue(Identity(subject="rina", email="rina@example.com"), "access")
    with structlog.testing.capture_logs() as lines:
        client.get(
            "/api/v1/things/secret-code/mine?q=private",
            headers={"authorization": f"Bearer {token}", "x-request-id": "r1"},
        )
    (line,) = lines
    assert line["event"] == "request"
    assert (line["request_id"], line["method"], line["route"]) == ("r1", "GET", "/things/{thing}/mine")
    assert (line["status"], line["subject"]) == (200, "rina")
    for private in ("secret-code", "private", token, "example.com"):
        assert private not in str(line)


async def test_a_caller_who_hangs_up_is_no_crash():
    """Half a body and then nothing: one line in the log, no error, and no answer to nobody."""
    given = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive():
        return next(given)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/things/1", "root_path": "", "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1),
    }  # fmt: skip

    async def reader(scope, receive, send):
        await Request(scope, receive).body()

    with structlog.testing.capture_logs() as lines:
        await Edge(reader, Settings())(scope, receive, send)
    (line,) = lines
    assert (line["event"], line["log_level"], line["status"]) == ("request", "info", 499)
    assert sent == []


def asked_and_answered(client, origin):
    """Give the headers of a browser's question, and of an answer, for a page of that origin."""
    question = {"origin": origin, "access-control-request-method": "POST"}
    asked = client.request("OPTIONS", "/api/v1/things/1", headers=question)
    assert asked.status_code == 204
    return asked.headers, client.post("/api/v1/things/1", headers={"origin": origin}).headers


SHOP = "https://shop.example"


@pytest.mark.parametrize(("origins", "allowed"), [("*", "*"), (f"https://other.example, {SHOP}", SHOP)])
def test_a_page_of_a_named_origin_may_call_and_read_our_headers(origins, allowed):
    """A browser asks first what it may send; `Authorization` has to be named, a wildcard does not cover it."""
    asked, answered = asked_and_answered(AsgiClient(make_app(cors_origins=origins)), SHOP)
    may_send = asked["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key", "if-none-match"} <= set(may_send)
    for headers in (asked, answered):
        assert headers["access-control-allow-origin"] == allowed
        exposed = headers["access-control-expose-headers"].split(", ")
        assert {"ETag", "Retry-After", "RateLimit", "X-Request-Id", "Idempotency-Replayed"} <= set(exposed)
        assert "access-control-allow-credentials" not in headers
        assert headers.get("vary") == (None if origins == "*" else "Origin")


@pytest.mark.parametrize(
    ("origins", "origin"),
    [
        ("", SHOP),
        ("https://other.example", SHOP),
        (SHOP, "http://shop.example"),
        (SHOP, f"{SHOP}.evil.example"),
        (SHOP, "null"),
    ],
)
def test_a_page_of_any_other_origin_is_not_let_in(origins, origin):
    """Nothing is allowed by default, and an origin is compared whole."""
    for headers in asked_and_answered(AsgiClient(make_app(cors_origins=origins)), origin):
        assert [name for name in headers if name.startswith("access-control-")] == []
        assert headers.get("vary") == ("Origin" if origins else None)


@pytest.mark.parametrize("origins", ["shop.example", "https://shop.example/", "https://*.example"])
def test_what_is_no_origin_stops_the_start(origins):
    """A setting that would silently allow nothing is refused."""
    with pytest.raises(CommandError, match=r"SEATLOCK_CORS_ORIGINS: .* is no origin"):
        make_app(cors_origins=origins)


def test_only_behind_https_browsers_are_told_to_stay_there():
    """Strict-Transport-Security would lock a plain test machine out."""
    told = AsgiClient(make_app(public_url="https://seats.example")).post("/api/v1/things/1").headers
    assert told["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in AsgiClient(make_app()).post("/api/v1/things/1").headers


def test_a_plain_options_request_is_no_question_of_a_browser(client):
    """Without the browser's question it is a method like any other."""
    assert client.request("OPTIONS", "/api/v1/things/1").status_code == 405


async def run_slow(make_body, handler, **patience):
    """Serve one POST whose body comes from `make_body`; gives status and body of the answer."""
    app = Starlette(routes=build_routes([Endpoint("POST", "/slow", handler, Access.PUBLIC)]))
    settings = Settings()
    app.state.settings, app.state.rate_limits = settings, RateLimits(settings, None)
    app.state.authenticator = Authenticator(TOKENS)
    transport = httpx.ASGITransport(bare(app, settings, **patience))
    async with httpx.AsyncClient(transport=transport, base_url="http://seatlock.test") as client:
        return await client.post("/api/v1/slow", content=make_body())


async def never_ending():
    """A body whose second part never comes."""
    yield b"x"
    await asyncio.Event().wait()


async def at_once():
    """A body that is there."""
    yield b"x"


async def test_a_body_that_does_not_come_is_given_up():
    """408, and the connection is not used again."""
    answer = await run_slow(never_ending, size_of_body, body_timeout_ms=50)
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    assert answer.headers["connection"] == "close"


async def test_a_body_that_is_asked_for_too_late_is_taken_only_as_far_as_it_is_there():
    """The time of a body runs from the beginning of the request, whether somebody reads it yet or not."""

    async def late(request: Request):
        await asyncio.sleep(0.12)
        return await size_of_body(request)

    answer = await run_slow(never_ending, late, body_timeout_ms=50)
    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
    answer = await run_slow(at_once, late, body_timeout_ms=50)
    assert (answer.status_code, answer.text) == (200, "1")


async def test_who_came_later_is_given_up_later():
    """One timer serves all: it goes on with the next one, and leaves out who has been answered meanwhile."""
    ended = []

    async def app(scope, receive, send):
        try:
            await (asyncio.sleep(0) if scope["path"] == "/quick" else asyncio.Event().wait())
        finally:
            ended.append(scope["path"])
        await PlainTextResponse("done")(scope, receive, send)

    timeouts = Edge(app, Settings(), answer_timeout_ms=200)
    edge_app = Starlette()
    edge_app.state.settings = Settings()

    async def come(path, sent):
        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "app": edge_app,
            "root_path": "", "server": ("seatlock.test", 80), "scheme": "http",
        }  # fmt: skip
        await timeouts(scope, asyncio.Event().wait, send)

    async with asyncio.TaskGroup() as group:
        answers = {path: [] for path in ("/first", "/quick", "/second")}
        for path, sent in answers.items():
            group.create_task(come(path, sent))
            await asyncio.sleep(0.02)
    assert ended == ["/quick", "/first", "/second"]
    assert {path: sent[0]["status"] for path, sent in answers.items()} == {"/first": 503, "/quick": 200, "/second": 503}


async def test_a_request_that_is_cancelled_is_not_answered():
    """A shutdown is no slowness: the cancellation goes on its way."""

    async def stuck(scope, receive, send):
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    task = asyncio.ensure_future(Edge(stuck, Settings())(scope, asyncio.Event().wait, None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_handler_that_does_not_answer_is_ended_with_an_unknown_outcome():
    """503 with Retry-After; the same key tells later what became of it."""

    async def stuck(request: Request):
        await asyncio.Event().wait()

    answer = await run_slow(at_once, stuck, answer_timeout_ms=50)
    assert (answer.status_code, answer.json()["code"], answer.json()["outcome"]) == (503, "timed_out", "unknown")
    assert answer.headers["retry-after"] == "1"


async def test_an_answer_that_has_begun_may_last():
    """The patience is for the first byte: a stream of events outlives it."""

    async def slow_stream(request: Request):
        async def parts():
            yield b"a"
            await asyncio.sleep(0.15)
            yield b"b"

        return StreamingResponse(parts())

    answer = await run_slow(at_once, slow_stream, answer_timeout_ms=50)
    assert (answer.status_code, answer.text) == (200, "ab")
