"""Baselines behind our own HTTP stack: the same tokens, bodies and answers; each seat once."""

import asyncio
from uuid import uuid4

import httpx
import pytest

from engine.accounts.tokens import Identity, Tokens
from engine.ledger.database import open_pool
from engine.settings import Settings
from loadtests.baselines.bare import app as bare
from loadtests.baselines.for_update import ForUpdate
from loadtests.baselines.on_conflict import OnConflict
from loadtests.baselines.service import create_service
from tests.small_catalogue import SEATS, small_catalogue

SECRET = "the secret of the baselines' tests, which is long"
TICKET_KEYS = "7:" + "dGhlIHNlZWQgb2YgdGhlIHRpY2tldHMnIGtleSAoMzI="
BUYERS = 12


@pytest.fixture(params=[ForUpdate, OnConflict], ids=lambda design: design.__name__)
async def service(request, redis_url, database_url, tmp_path):
    """A client of a baseline, and what makes tokens; showtime 1 has 40 seats."""
    settings = Settings(
        data_dir=tmp_path,
        redis_url=redis_url,
        database_url=database_url,
        token_secret=SECRET,
        ticket_keys=TICKET_KEYS,
        rate_selling_per_min=30,
    )
    pool = await open_pool(settings)
    await small_catalogue(pool, settings)
    await pool.close()
    app = create_service(settings, request.param(), database_url, 1, len(SEATS))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
            yield client


def somebody():
    """Give the headers of a new customer."""
    token = Tokens(SECRET.encode(), 3600).issue(Identity(subject=str(uuid4())), "access")
    return {"Authorization": f"Bearer {token}"}


async def claim(client, *seats, who=None):
    """Claim seats of the one showtime."""
    return await client.post("/showtimes/1/holds", json={"seats": list(seats)}, headers=who or somebody())


async def test_each_seat_is_claimed_once_and_201_is_told_from_409(service):
    """Of many at once one gets the seats; the others are refused in the words of the contract."""
    answers = await asyncio.gather(*(claim(service, "A1", "A2") for _ in range(BUYERS)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * (BUYERS - 1)]
    won = next(answer for answer in answers if answer.status_code == 201)
    lost = next(answer for answer in answers if answer.status_code == 409)
    assert [seat["seat"] for seat in won.json()["seats"]] == ["A1", "A2"]
    assert won.json()["amount"] == 10_000_000
    assert (lost.json()["code"], lost.headers["content-type"]) == ("seats_taken", "application/problem+json")


async def test_only_the_holder_gives_seats_back(service):
    """By the id of the answer, and then they are free."""
    who = somebody()
    held = (await claim(service, "B1", "B2", who=who)).json()["id"]
    assert (await service.delete(f"/holds/{held}", headers=somebody())).status_code == 204
    assert (await claim(service, "B2", "B3")).status_code == 409
    assert (await service.delete(f"/holds/{held}", headers=who)).status_code == 204
    assert (await claim(service, "B2", "B3")).status_code == 201


async def test_tokens_bodies_and_limits_are_those_of_the_api(service):
    """A rival saves nothing at the door."""
    assert (await claim(service, "A1", who={"Authorization": "Bearer no"})).status_code == 401
    assert (await claim(service, "Z9")).json()["code"] == "unknown_seat"
    who = somebody()
    statuses = [(await claim(service, "Z9", who=who)).status_code for _ in range(31)]
    assert statuses == [*[422] * 30, 429]


async def test_the_bare_route_decodes_and_answers():
    """What the claim's cost is divided by does that much."""
    transport = httpx.ASGITransport(bare)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/", content=b'{"seats": ["A1"]}')
        assert (answer.status_code, answer.json()["seats"]) == (201, ["A1"])
        assert (await client.get("/")).status_code == 201
