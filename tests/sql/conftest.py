"""A ledger for the tests of this room."""

import pytest

from engine.ledger.database import open_pool
from engine.settings import Settings
from tests.ledgers import World


@pytest.fixture
async def ledger_pool(database_url):
    """A pool of a migrated, empty database."""
    pool = await open_pool(Settings(database_url=database_url))
    yield pool
    pool.terminate()


@pytest.fixture
async def world(ledger_pool):
    """A ledger with two showtimes and nothing sold."""
    world = World(ledger_pool, None)
    await world.begin()
    return world
