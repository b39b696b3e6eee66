"""Lanes, and networks that misbehave, for the tests of the seat engine."""

import asyncio
import contextlib

import pytest
import uvloop

from engine import limits
from engine.embedded.valkey import EmbeddedValkey
from engine.errors import Refusal
from engine.seats.lane import Lane
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from tests.conftest import find_redis
from tests.lanes import Registry
from tests.proxy import open_proxy
from tests.showtimes import load_showtime
from tests.tiny_scripts import tiny_scripts


def pytest_asyncio_loop_factories(config, item):
    """Run on the loop of the command line and on that of the servers: their transports differ."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def registry():
    """A ledger that numbers what it is shown."""
    return Registry()


@pytest.fixture
async def open_lane(registry):
    """Open lanes that are closed at the end of the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def opener(url, **options):
            lane = Lane(url, tiny_scripts, part="test", identify=registry.identify, **options)
            stack.push_async_callback(lane.close)
            await lane.start()
            return lane

        yield opener


@pytest.fixture
async def proxy(redis_server, redis_url, tmp_path):
    """A network between us and the server."""
    async with open_proxy(redis_server.socket, tmp_path / "proxy.sock") as proxy:
        yield proxy


@pytest.fixture
def quick_ticks(monkeypatch):
    """A lane that looks after its connection every 20 ms."""
    monkeypatch.setattr(limits, "LANE_TICK_MS", 20)


@pytest.fixture
def own_valkey(tmp_path):
    """A server that a test may stop and start; its data survives."""
    server = EmbeddedValkey(tmp_path / "valkey", find_redis("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis_lane(redis_url, registry):
    """A lane with the real scripts."""
    lane = Lane(redis_url, load_scripts, part="test", identify=registry.identify)
    await lane.start()
    yield lane
    await lane.close()


class Restorer:
    """Stands for the ledger's restorer: loads the showtimes that it knows."""

    def __init__(self):
        self.engine = None
        self.calls = []
        self.loads = {}
        self.pause = asyncio.Event()
        self.pause.set()

    async def __call__(self, showtime, why, said_ms):
        self.calls.append((showtime, why))
        await self.pause.wait()
        if showtime not in self.loads:
            raise Refusal("not_found")
        await load_showtime(self.engine, showtime, **self.loads[showtime])


@pytest.fixture
def restorer():
    """A restorer that records what it was asked."""
    return Restorer()


@pytest.fixture
async def engine(redis_lane, restorer):
    """The seat engine, with showtime 42 of 100 seats on sale."""
    engine = SeatEngine(redis_lane, load_scripts((7,)), restorer)
    restorer.engine = engine
    await load_showtime(engine, 42)
    return engine
