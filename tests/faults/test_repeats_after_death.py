"""kill -9 between effect and answer: the same key at another API process gives the same thing, and makes no second one.

The API that dies talks to Redis and PostgreSQL through proxies, which let the effect through and keep its answer.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import msgspec
import pytest
from redis import Redis

from tests.flow.conftest import run_parts
from tests.flow.posts import SCENARIOS, Shop
from tests.flow.test_replays_http import steady_part
from tests.flow.town import open_town, until
from tests.proxy import open_proxy

IN_REDIS = ("/showtimes/{showtime:int}/holds", "/holds/{hold}/extend", "/bookings")
IN_THE_LEDGER = (
    "/bookings/{booking}/payments",
    "/bookings/{booking}/cancel",
    "/auth/register",
    "/admin/cinemas",
    "/admin/showtimes",
    "/admin/showtimes/{showtime:int}/freeze",
    "/admin/showtimes/{showtime:int}/blocks",
)


@pytest.fixture(scope="module")
def town(redis_server, postgres, migrated_template, tmp_path_factory):
    """A running town; its API is the one that stays."""
    with open_town(tmp_path_factory.mktemp("town"), redis_server.kind, postgres, migrated_template) as town:
        yield town


@asynccontextmanager
async def doomed_api(town, folder):
    """Run a second API of the town behind proxies; gives its process, its address, and both proxies."""
    database = urlsplit(town.database_url)
    socket = f".s.PGSQL.{database.port or 5432}"
    upstream = parse_qs(database.query)["host"][0]
    own = database._replace(query=f"host={folder}").geturl()
    async with (
        open_proxy(town.redis.socket, folder / "redis.sock") as redis_proxy,
        open_proxy(f"{upstream}/{socket}", folder / socket) as ledger_proxy,
    ):
        settings = msgspec.structs.replace(town.settings, data_dir=folder, redis_url=redis_proxy.url, database_url=own)
        parts = run_parts(settings, "api")
        # In a thread: the process can only get ready while the proxies of this loop serve it.
        (part,) = await asyncio.to_thread(parts.__enter__)
        try:
            yield part, redis_proxy, ledger_proxy
        finally:
            part.process.kill()
            await asyncio.to_thread(parts.__exit__, None, None, None)


async def kept(town):
    """Count what is remembered, in Redis and in the ledger."""
    with Redis.from_url(town.redis.url) as client:
        remembered = sum(1 for _ in client.scan_iter("*:request:*", count=1000))
    (row,) = await town.fetch("SELECT count(*) AS count FROM requests")
    return remembered + row["count"]


def id_of(answer):
    """Give the id of what was made."""
    body = answer.json()
    return str(body.get("session_id") or body.get("id") or body["user"]["id"])


@pytest.mark.covers("004.18")
@pytest.mark.parametrize("path", [*IN_REDIS, *IN_THE_LEDGER])
async def test_an_api_dies_between_the_effect_and_its_answer(town, tmp_path_factory, path):
    """The effect is there, its answer is not; another process answers the same key with the very same thing."""
    folder, key = tmp_path_factory.mktemp("d"), uuid4().hex
    async with town.customer() as buyer, doomed_api(town, folder) as (part, redis_proxy, ledger_proxy):
        call = await SCENARIOS[path](Shop(town, buyer))
        if path.startswith("/showtimes"):
            await town.seat_statuses(call.path.split("/")[2])  # in Redis already, or loading it would be cut off
        before = await kept(town)
        if path in IN_REDIS:
            redis_proxy.swallow_answers = True
        else:
            ledger_proxy.swallow_after = b"COMMIT;"
        headers = dict(buyer.client.headers)
        async with httpx.AsyncClient(base_url=f"{part.url}/api/v1", headers=headers, trust_env=False) as client:
            asked = asyncio.create_task(call.send(client, key))

            async def effective():
                return await kept(town) == before + 1

            await until(effective, "the effect")
            assert not asked.done()
            part.process.kill()
            (lost,) = await asyncio.gather(asked, return_exceptions=True)
        assert isinstance(lost, httpx.TransportError)

        found, again = await call.send(buyer.client, key), await call.send(buyer.client, key)
        assert found.status_code in (200, 201), found.text
        assert found.headers["Idempotency-Replayed"] == again.headers["Idempotency-Replayed"] == "true"
        assert steady_part(found) == steady_part(again)
        assert await kept(town) == before + 1
    if path in IN_THE_LEDGER:
        (newest,) = await town.fetch("SELECT answer FROM requests ORDER BY made_at DESC LIMIT 1")
        assert id_of(found) in json.dumps(newest["answer"])
