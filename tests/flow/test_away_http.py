"""A server is away: clear 503s that say what is known, what can go on goes on, and all heals by itself."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.embedded.valkey import EmbeddedValkey
from engine.runtime import open_runtime
from tests.conftest import find_redis, run_sql
from tests.flow.conftest import guest, open_client
from tests.flow.test_holds_http import claim, path_of, refused, statuses
from tests.proxy import open_proxy


def unavailable(answer, code):
    """Check a 503: when to ask again, and that nothing happened."""
    body = refused(answer, 503, code)
    assert int(answer.headers["retry-after"]) >= 1
    assert body["outcome"] in ("definite", "unknown")
    return body


async def until(call, done, patience_s=10):
    """Repeat a call until its answer is as wished; gives that answer."""
    async with asyncio.timeout(patience_s):
        while not done(answer := await call()):
            await asyncio.sleep(0.05)
    return answer


class TestRedisAway:
    """A Redis of our own, which dies and comes back."""

    @pytest.fixture
    def own_redis(self, redis_server, tmp_path):
        """A server of the asked kind that only this test has."""
        with EmbeddedValkey(tmp_path / "own", find_redis(redis_server.kind)) as server:
            yield server

    @pytest.fixture
    def settings_changes(self, own_redis):
        """Its address."""
        return {"redis_url": own_redis.url}

    async def test_claims_say_that_nothing_happened_and_heal(self, app_client, small, own_redis):
        """503 with `Retry-After` and the outcome; the process stays alive; after the restart seats are sold again."""
        rina = await guest(app_client)
        assert (await claim(app_client, small.showtime, rina, "C7")).status_code == 201
        own_redis.stop()

        down = await until(
            lambda: claim(app_client, small.showtime, rina, "A1"),
            lambda answer: answer.json().get("outcome") == "definite",
        )
        unavailable(down, "redis_unavailable")
        unavailable(await app_client.get(path_of(small.showtime, "seats")), "redis_unavailable")
        health, ready = [await app_client.get(f"/api/v1/health{tail}") for tail in ("", "/ready")]
        assert (health.status_code, health.json()["dependencies"]["redis"]) == (200, "away")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")

        own_redis.start()
        budi = await guest(app_client)
        healed = await until(
            lambda: claim(app_client, small.showtime, budi, "A1"), lambda answer: answer.status_code != 503
        )
        assert healed.status_code == 201, healed.text
        assert (await statuses(app_client, small.showtime, budi))["A1"] == "LOCKED_BY_ME"
        assert (await app_client.get("/api/v1/health/ready")).status_code == 200


async def test_a_process_starts_without_redis(settings, small, tmp_path):
    """It answers, says what is missing, and claims are refused with a definite outcome."""
    changed = msgspec.structs.replace(settings, redis_url=f"unix://{tmp_path}/nobody.sock")
    async with open_client(changed) as client:
        rina = await guest(client)
        body = unavailable(await claim(client, small.showtime, rina, "A1"), "redis_unavailable")
        assert body["outcome"] == "definite"
        assert (await client.get("/api/v1/health")).status_code == 200
        assert (await client.get("/api/v1/health/ready")).status_code == 503


async def test_a_process_starts_without_postgresql_and_says_so(settings, small, tmp_path):
    """Degraded, not dead: accounts and claims of a Redis that nobody knows are refused, guests are not."""
    changed = msgspec.structs.replace(settings, database_url=f"postgresql://nobody@/nothing?host={tmp_path}")
    async with open_client(changed) as client:
        rina = await guest(client)
        assert (await client.get("/api/v1/me", headers=rina)).status_code == 200
        login = await client.post("/api/v1/auth/login", json={"email": "a@b.id", "password": "long enough"})
        assert unavailable(login, "ledger_unavailable")["outcome"] == "definite"
        unavailable(await claim(client, small.showtime, rina, "A1"), "ledger_unavailable")
        ready = await client.get("/api/v1/health/ready")
        assert ready.json()["dependencies"]["postgresql"] == "away"


async def test_seats_are_held_while_postgresql_is_away(app_client, small, pool, settings, run_without_ledger):
    """What was seen before goes on from memory and Redis: maps, claims, extensions, releases; only money waits."""
    rina, budi = await guest(app_client), await guest(app_client)
    hold = (await claim(app_client, small.showtime, rina, "C7")).json()
    async with run_without_ledger():
        url = f"/api/v1/holds/{hold['id']}"
        assert (await app_client.post(f"{url}/extend", headers=rina)).status_code == 200
        assert (await claim(app_client, small.showtime, budi, "A1")).status_code == 201
        assert await statuses(app_client, small.showtime) == {"A1": "LOCKED", "C7": "LOCKED"}
        assert (await app_client.get(url, headers=rina)).status_code == 200
        assert (await app_client.delete(url, headers=rina)).status_code == 204
        unavailable(
            await app_client.post("/api/v1/auth/login", json={"email": "a@b.id", "password": "long enough"}),
            "ledger_unavailable",
        )
        ready = await app_client.get("/api/v1/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    login = await app_client.post("/api/v1/auth/login", json={"email": "a@b.id", "password": "long enough"})
    assert (login.status_code, login.json()["code"]) == (401, "bad_credentials")


@pytest.fixture
def run_without_ledger(postgres, database_url):
    """A block in which the database cannot be found, and the connections that were there are ended."""
    name = database_url.partition("?")[0].rpartition("/")[2]

    @asynccontextmanager
    async def away():
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        run_sql(postgres, "postgres", f"{end}; ALTER DATABASE {name} RENAME TO {name}_away")
        try:
            yield
        finally:
            run_sql(postgres, "postgres", f"ALTER DATABASE {name}_away RENAME TO {name}")

    return away


@pytest.mark.one_redis("what is sent again is up to the client, not to the server")
async def test_a_command_whose_answer_was_lost_is_not_sent_again(settings, redis_server, redis_client, tmp_path):
    """An error tells the caller, who knows what may be done twice; the client of a process never tries by itself."""
    async with (
        open_proxy(redis_server.socket, tmp_path / "line.sock") as line,
        open_runtime(msgspec.structs.replace(settings, redis_url=line.url), "api") as runtime,
    ):
        await runtime.redis.incr("asked")
        line.swallow_after = b"asked"
        asked = asyncio.create_task(runtime.redis.incr("asked"))
        await line.answer_swallowed()
        line.heal()
        with pytest.raises(RedisConnectionError):
            await asked
        assert await redis_client.get("asked") == b"2"
