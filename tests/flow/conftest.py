"""The whole system for flow tests: the application in this process, or API and worker as processes of their own."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import asyncpg
import httpx
import pytest

from api.app import create_app
from engine.embedded.postgres import EmbeddedPostgres
from engine.ledger.database import open_pool
from engine.settings import Settings
from tests.conftest import RedisServer
from tests.flow.town import START_TIMEOUT_S, TICKET_KEYS, TOKEN_SECRET, WEBHOOK_SECRET, Town, environ_of, open_town
from tests.ports import free_port
from tests.processes import wait_until
from tests.small_catalogue import SmallCatalogue, small_catalogue


@pytest.fixture
def settings_changes() -> dict[str, object]:
    """What a test module wants to be different; it defines a fixture of this name."""
    return {}


@pytest.fixture
def policy_changes() -> dict[str, int]:
    """Rules of the small catalogue's cinema, e.g. `{"hold_ttl_s": 1}`; redefine it in a module."""
    return {}


def make_settings(data_dir: Path, redis_url: str, database_url: str, **changes: object) -> Settings:
    """Settings of servers that only this test has."""
    values: dict[str, object] = {
        "data_dir": data_dir,
        "redis_url": redis_url,
        "database_url": database_url,
        "gateway_url": "http://127.0.0.1:1",
        "token_secret": TOKEN_SECRET,
        "ticket_keys": TICKET_KEYS,
        "webhook_secret": WEBHOOK_SECRET,
        "log_level": "warning",
        "rate_limit": "off",
    }
    return Settings(**(values | changes))


@pytest.fixture
def settings(redis_url: str, database_url: str, tmp_path: Path, settings_changes: dict[str, object]) -> Settings:
    """Settings of servers that only this test has."""
    return make_settings(
        **{"data_dir": tmp_path, "redis_url": redis_url, "database_url": database_url} | settings_changes
    )


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """The ledger, for looking into it."""
    pool = await open_pool(settings)
    yield pool
    pool.terminate()


@pytest.fixture
async def small(pool: asyncpg.Pool, settings: Settings, policy_changes: dict[str, int]) -> SmallCatalogue:
    """A small catalogue in the database of the test."""
    return await small_catalogue(pool, settings, **policy_changes)


@asynccontextmanager
async def open_client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application inside this process, and give a client of it; `client.app` is the application."""
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://seatlock.test") as client,
    ):
        client.app = app
        yield client


@pytest.fixture
async def app_client(settings: Settings, small: SmallCatalogue) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process, over real servers and the small catalogue."""
    async with open_client(settings) as client:
        yield client


async def guest(client: httpx.AsyncClient, **headers: str) -> dict[str, str]:
    """Become a new guest; gives the headers to send."""
    answer = await client.post("/api/v1/auth/guest")
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}", **headers}


@dataclass(frozen=True)
class Part:
    """A process of the system; `url` is empty for a worker."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path


@contextmanager
def run_parts(settings: Settings, *commands: str) -> Iterator[list[Part]]:
    """Run `seatlock api` and `seatlock worker` processes for the length of a block; an API answers when it begins."""
    parts = []
    try:
        parts.extend(_launch(settings, command) for command in commands)
        for part in parts:
            ready = wait_until(partial(_is_ready, part), START_TIMEOUT_S)
            assert ready, part.log.read_text()
            assert part.process.poll() is None, part.log.read_text()
        yield parts
    finally:
        for part in parts:
            part.process.terminate()
        for part in parts:
            _end(part.process)


def _launch(settings: Settings, command: str) -> Part:
    port = free_port() if command == "api" else 0
    log = settings.data_dir / f"{command}-{port}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli", command],
            cwd=settings.data_dir,
            env=environ_of(settings, SEATLOCK_PORT=str(port)) if port else environ_of(settings),
            stdout=file,
            stderr=file,
        )
    return Part(process, f"http://127.0.0.1:{port}" if port else "", log)


def _is_ready(part: Part) -> bool:
    if not part.url or part.process.poll() is not None:
        return True
    try:
        # Not httpx, which makes a TLS context for every look.
        with urlopen(f"{part.url}/api/v1/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def town(
    redis_server: RedisServer,
    postgres: EmbeddedPostgres,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Town]:
    """A running town, one for each kind of Redis; a test makes showtimes and customers of its own in it."""
    with open_town(tmp_path_factory.mktemp("town"), redis_server.kind, postgres, migrated_template) as town:
        yield town


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
