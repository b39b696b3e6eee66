"""More requests at once than a process may work on."""

import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api.app import create_app
from api.crowd import Crowd
from engine.limits import SECOND_MS, TURN_MAX_MS
from engine.settings import Settings

FEW, AT_ONCE_MAX = 2, 4
LONG_S = 2 * TURN_MAX_MS / SECOND_MS
PAGE = "https://tickets.example"
CLAIM = "/api/v1/showtimes/1/holds"


class Hall:
    """An application that answers nobody before its doors open."""

    def __init__(self):
        self.doors = asyncio.Event()
        self.inside = asyncio.Semaphore(0)
        settings = Settings(cors_origins=PAGE)
        self.app = Starlette(
            routes=[Route("/{path:path}", self.stay, methods=["GET", "POST"])],
            middleware=[Middleware(Crowd, settings=settings, at_once_max=AT_ONCE_MAX, few=FEW, clock=self.tell_time)],
        )
        self.now_s = self.turn_s = 0.0
        self.app.state.settings = settings

    async def stay(self, request):
        """Answer when the doors are open."""
        self.inside.release()
        await self.doors.wait()
        if request.method == "POST":
            raise RuntimeError("it breaks")
        return PlainTextResponse("bye")

    async def fill(self, method="GET", number=AT_ONCE_MAX):
        """Let so many in."""
        tasks = [asyncio.create_task(self.client.request(method, CLAIM)) for _ in range(number)]
        for task in tasks:
            assert await self.lets_in(task)
        return tasks

    def tell_time(self):
        """Every look at the clock is one turn after the one before."""
        self.now_s += self.turn_s
        return self.now_s

    async def lets_in(self, task):
        """Say whether a request is inside now; else it has its answer already."""
        inside = asyncio.create_task(self.inside.acquire())
        done, _ = await asyncio.wait({inside, task}, return_when=asyncio.FIRST_COMPLETED)
        inside.cancel()
        return inside in done


@pytest.fixture
async def hall():
    """It, with `client`."""
    hall = Hall()
    transport = httpx.ASGITransport(hall.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://seatlock.test") as hall.client:
        yield hall


async def test_what_is_too_much_is_turned_away_at_once(hall):
    """A definite 503 that says when to come again, before the application is asked; pages may read it."""
    tasks = await hall.fill()
    sent = {"json": {"seats": ["A1"]}, "headers": {"origin": PAGE, "x-request-id": "mine"}}
    late = asyncio.create_task(hall.client.post(CLAIM, **sent))
    assert not await hall.lets_in(late)
    refused = await late
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["outcome"]) == (503, "overloaded", "definite")
    assert (refused.headers["retry-after"], problem["retry_after_ms"]) == ("1", SECOND_MS)
    assert (refused.headers["x-request-id"], problem["request_id"]) == ("mine", "mine")
    assert refused.headers["access-control-allow-origin"] == PAGE
    assert refused.headers["cache-control"] == "no-store"
    assert refused.headers["x-content-type-options"] == "nosniff"
    hall.doors.set()
    assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200] * AT_ONCE_MAX


@pytest.mark.parametrize("method", ["GET", "POST"], ids=["answered", "broken"])
async def test_whoever_leaves_makes_room(hall, method):
    """However a request ends: with an answer or a crash."""
    tasks = await hall.fill(method)
    hall.doors.set()
    await asyncio.gather(*tasks)
    assert len(await asyncio.gather(*await hall.fill())) == AT_ONCE_MAX
    assert (await hall.client.get(CLAIM)).status_code == 200


async def test_a_caller_who_gives_up_makes_room(hall):
    """A request that is cancelled is over."""
    for task in await hall.fill():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    hall.doors.set()
    assert (await hall.client.get(CLAIM)).status_code == 200


async def come(hall):
    """Let one more come; give its request, and whether it is inside."""
    task = asyncio.create_task(hall.client.get(CLAIM))
    return task, await hall.lets_in(task)


async def test_those_who_come_while_turns_take_long_are_turned_away(hall):
    """Although more may be inside; when turns are short again, all are welcome."""
    tasks = await hall.fill(number=FEW)
    welcome = []
    for turn_s in (LONG_S, 0, 0):  # each is felt by those who come next
        hall.turn_s = turn_s
        task, inside = await come(hall)
        tasks.append(task)
        welcome.append(inside)
    assert welcome == [True, False, True]
    hall.doors.set()
    assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200, 200, 200, 503, 200]


async def test_long_turns_are_no_matter_while_few_are_inside(hall):
    """What takes long then is not the crowd."""
    tasks = await hall.fill(number=FEW)
    hall.turn_s = LONG_S
    tasks += [(await come(hall))[0] for _ in range(2)]
    hall.doors.set()
    assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200, 200, 200, 503]
    assert (await hall.client.get(CLAIM)).status_code == 200


@pytest.mark.parametrize("path", ["/payments/webhook", "/health", "/health/ready"])
async def test_money_and_probes_come_through(hall, path):
    """They are neither turned away nor counted."""
    tasks = await hall.fill()
    more = asyncio.create_task(hall.client.get(f"/api/v1{path}"))
    assert await hall.lets_in(more)
    hall.doors.set()
    assert (await more).status_code == 200
    await asyncio.gather(*tasks)


async def test_money_and_probes_take_nobodys_place(hall):
    """As many others are let in as without them."""
    tasks = await hall.fill(number=AT_ONCE_MAX - 1)
    tasks.append(asyncio.create_task(hall.client.post("/api/v1/payments/webhook")))
    assert await hall.lets_in(tasks[-1])
    task, inside = await come(hall)
    assert inside
    hall.doors.set()
    await asyncio.gather(*tasks, task)


def test_the_server_may_ask_before_it_begins_anything(monkeypatch):
    """The application says whom it turns away, and with which answer, to `api/http_protocol.py`."""
    app = create_app(Settings())
    scope = {"type": "http", "method": "POST", "path": CLAIM, "headers": [(b"x-request-id", b"mine")]}
    assert app.turned_away(scope) is None, "it has not started"
    app.build_middleware_stack()
    assert app.turned_away(scope) is None
    monkeypatch.setattr(app._crowd, "_at_once_max", 0)
    monkeypatch.setattr(app._crowd, "_few", 0)
    monkeypatch.setattr(app._crowd, "_is_measuring", True)
    status, headers, body = app.turned_away(scope)
    problem = json.loads(body)
    assert (status, problem["code"], problem["request_id"]) == (503, "overloaded", "mine")
    assert dict(headers)[b"retry-after"] == b"1"
    assert app.turned_away(scope | {"path": "/api/v1/health"}) is None
