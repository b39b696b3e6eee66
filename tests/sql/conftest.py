"""A ledger, or a catalogue and a stage, on a database that only the test has."""

import pytest

from engine.catalogue.catalogue import Catalogue
from engine.ledger.database import open_pool
from engine.settings import Settings
from tests.ledgers import World
from tests.sql.stage import build


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


@pytest.fixture
def pool(ledger_pool):
    """The same pool, where there is no ledger to tell it from."""
    return ledger_pool


@pytest.fixture
def catalogue(pool):
    """The catalogue of that database."""
    return Catalogue(pool, Settings())


@pytest.fixture
async def stage(catalogue):
    """A stage in Jakarta."""
    return await build(catalogue)
