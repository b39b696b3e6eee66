"""A world to break: a town with a Redis and a PostgreSQL of its own, each part behind lines that can be cut.

async with open_world(folder) as world:
await world.begin(seed)                     buyers come
await world.redis.kill()                    -9
world.api.redis_line.swallow_answers = True one part's line to Redis; `world.redis_line` is all of them
await world.wait(0.5)
...
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import redis.asyncio

from engine.accounts.tokens import Tokens
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.records import NewShowtime
from engine.embedded.binaries import find_postgres
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.ledger.database import open_pool
from engine.ledger.migrations import migrate
from tests.conftest import NO_DISK, find_redis
from tests.faults.harness.load import Load
from tests.faults.harness.parts import Process, Server
from tests.flow.town import TOKEN_SECRET, Town, environ_of
from tests.ports import free_port
from tests.proxy import Proxy, open_ledger_proxy, open_proxy
from tests.small_catalogue import PRICES, small_catalogue

HOLD_TTL_S, PAYMENT_TTL_S = 3, 5
SETTINGS = {
    "hold_ttl_s": HOLD_TTL_S,
    "payment_ttl_s": PAYMENT_TTL_S,
    "hold_max_s": 6,
    "claim_max_s": 12,
    "cool_down": "off",
    "refund_retry_min_ms": 200,
    "log_level": "info",
}
"""Short, so that holds lapse and payments time out within a run."""
PARTS = ("gateway", "api", "api2", "worker", "worker2")
STOCK = 150
SHOWTIMES_PER_DAY = 8
FIRST_DAY = 2
"""From so many days ahead on, all that is given back is paid back whole."""
WARM = 5
"""A fault begins when so many bookings of the run are confirmed."""
PATIENCE_S = 150
"""For buyers on a machine that is busy with other things."""


class Lines:
    """Several proxies that obey as one: what is set or called here reaches each of them."""

    def __init__(self, proxies: list[Proxy]) -> None:
        object.__setattr__(self, "proxies", proxies)

    def __setattr__(self, name, value) -> None:
        for proxy in self.proxies:
            setattr(proxy, name, value)

    def cut(self) -> None:
        """Break every connection now."""
        for proxy in self.proxies:
            proxy.cut()

    def reset(self) -> None:
        """Break every connection now, by RST."""
        for proxy in self.proxies:
            proxy.reset()

    def heal(self) -> None:
        """Be sound again."""
        for proxy in self.proxies:
            proxy.heal()

    def __iter__(self) -> Iterator[Proxy]:
        return iter(self.proxies)


class World:
    """The parts, the servers, the buyers.

    Attributes:
        town: for reading the ledger and acting as operator or gateway; its own connections pass no line.
        redis, postgres: the servers.
        apis, workers, gateway: the processes; `api` and `worker` are the first ones.
        redis_line, postgres_line: the lines of all parts; each part has its own by the same names.
        load: the buyers of this run, `load.seen` what they have seen.
        showtimes: every showtime that was put on.
    """

    def __init__(self, folder: Path, town: Town, servers: tuple[Server, Server], parts: list[Process]) -> None:
        self.folder = folder
        self.town = town
        self.redis, self.postgres = servers
        self.parts = parts
        self.apis = [part for part in parts if part.name.startswith("api")]
        self.workers = [part for part in parts if part.name.startswith("worker")]
        (self.gateway,) = [part for part in parts if part.name == "gateway"]
        self.api, self.worker = self.apis[0], self.workers[0]
        self.redis_line = Lines([part.redis_line for part in parts if part.redis_line])
        self.postgres_line = Lines([part.postgres_line for part in parts if part.postgres_line])
        self.tokens = Tokens(TOKEN_SECRET.encode(), 3600)
        self.load: Load | None = None
        self.showtimes: list[int] = []
        self._fresh: deque[int] = deque()
        self._small = None

    async def begin(self, seed: int) -> Load:
        """Let buyers come, and wait until they buy."""
        await self._put_on()
        self.load = Load(self, seed)
        self.load.start()
        await self.load.seen.reaches("confirmed", WARM, PATIENCE_S)
        return self.load

    async def wait(self, seconds: float) -> None:
        """Let time pass, for the fault to do its harm in."""
        await asyncio.sleep(seconds)

    async def claims(self, count: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many more claims were answered."""
        await self.load.seen.reaches("claims", self.load.seen.counts["claims"] + count, timeout_s)

    async def confirmed(self, count: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many more bookings were seen as confirmed."""
        await self.load.seen.reaches("confirmed", self.load.seen.counts["confirmed"] + count, timeout_s)

    def next_showtime(self) -> int:
        """Give a showtime that nobody has bought for."""
        return self._fresh.popleft()

    @contextlib.asynccontextmanager
    async def ledger(self) -> AsyncIterator[asyncpg.Connection]:
        """Give a connection to PostgreSQL that passes no line, for looking and for taking locks."""
        connection = await asyncpg.connect(self.town.database_url, timeout=10)
        try:
            yield connection
        finally:
            connection.terminate()

    @contextlib.asynccontextmanager
    async def keys(self) -> AsyncIterator[redis.asyncio.Redis]:
        """Give a client of Redis that passes no line."""
        async with redis.asyncio.Redis.from_url(self.town.redis.url) as client:
            yield client

    @contextlib.contextmanager
    def mark(self, kind: str, **args) -> Iterator[None]:
        """Tell the history checker that holds may be lost meanwhile (`lost`), or that time jumps (`clock`)."""
        with self.load.seen.recorder.during(kind, **args):
            yield

    async def until(self, look, what: str, timeout_s: float = 30):
        """Look again and again until something is seen; what happens in other processes cannot be awaited."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if seen := await look():
                return seen
            await asyncio.sleep(0.02)
        raise AssertionError(f"never seen: {what}")

    async def _put_on(self) -> None:
        """Have enough fresh showtimes for a run."""
        missing = STOCK - len(self._fresh)
        if missing < STOCK // 3:
            return
        pool = await open_pool(self.town.settings)
        try:
            if self._small is None:
                self._small = await small_catalogue(pool, self.town.settings)
            starts = datetime.now(UTC) + timedelta(days=FIRST_DAY)
            slots = range(len(self.showtimes), len(self.showtimes) + missing)
            items = [
                NewShowtime(
                    auditorium_id=self._small.auditorium,
                    movie_id=self._small.movie,
                    starts_at=starts + timedelta(hours=24 / SHOWTIMES_PER_DAY * slot),
                    prices=PRICES,
                )
                for slot in slots
            ]
            made, _ = await Catalogue(pool, self.town.settings).desk.create_showtimes("tests", items, lambda _: None)
        finally:
            pool.terminate()
        self.showtimes += made
        self._fresh += made


@contextlib.asynccontextmanager
async def open_world(folder: Path, **settings) -> AsyncIterator[World]:
    """Start a world; end all of it at the end, in whatever state it is.

    Args:
        folder: where its data and logs go.
        settings: fields of `Settings` that are to be other than `SETTINGS`.
    """
    servers = (
        Server(EmbeddedValkey(folder / "redis", find_redis("valkey"))),
        Server(EmbeddedPostgres(folder / "postgres", find_postgres(), settings=NO_DISK)),
    )
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            stack.push_async_callback(server.close)
        await asyncio.gather(*(server.start() for server in servers))
        redis_server, postgres = servers
        database_url = postgres.embedded.url()
        await migrate(database_url)
        town = Town(folder, redis_server.embedded, database_url, **{**SETTINGS, **settings})
        parts = [
            await _make_part(stack, folder, town, name) for name in ("gateway", "api", "api2", "worker", "worker2")
        ]
        stack.push_async_callback(_end, parts)
        for part in parts:
            part.launch()
        await asyncio.gather(*(part.ready() for part in parts))
        world = World(folder, town, servers, parts)
        try:
            yield world
        finally:
            if world.load is not None:
                await world.load.drop()


async def _make_part(stack: contextlib.AsyncExitStack, folder: Path, town: Town, name: str) -> Process:
    """Make a part of the town; the gateway reaches no server, each other part has two lines of its own."""
    if name == "gateway":
        return Process(name, town.gateway._argv, environ_of(town.settings), folder, f"{town.gateway_url}/health")
    redis_line = await stack.enter_async_context(open_proxy(town.redis.socket))
    postgres_line = await stack.enter_async_context(open_ledger_proxy(town.database_url))
    port = town.settings.port if name == "api" else free_port()
    lines = {"SEATLOCK_REDIS_URL": redis_line.url, "SEATLOCK_DATABASE_URL": postgres_line.url}
    environ = environ_of(town.settings, SEATLOCK_PORT=str(port), **lines)
    serves = name.startswith("api")
    url = f"http://127.0.0.1:{port}" if serves else None
    ready = f"{url}/api/v1/health/ready" if serves else None
    part = Process(name, ["engine.cli", "api" if serves else "worker"], environ, folder, ready)
    part.url, part.redis_line, part.postgres_line = url, redis_line, postgres_line
    return part


async def _end(parts: list[Process]) -> None:
    for part in parts:
        if part.alive:
            part.thaw()
    await asyncio.gather(*(part.end() for part in parts))
