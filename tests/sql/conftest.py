"""A pool, a catalogue and a stage on a database that only the test has."""

import pytest

from engine.catalogue.catalogue import Catalogue
from engine.ledger.database import open_pool
from engine.settings import Settings
from tests.sql.stage import build


@pytest.fixture
async def pool(database_url):
    """A pool on an empty, migrated database."""
    pool = await open_pool(Settings(database_url=database_url))
    yield pool
    await pool.close()


@pytest.fixture
def catalogue(pool):
    """The catalogue of that database."""
    return Catalogue(pool, Settings())


@pytest.fixture
async def stage(catalogue):
    """A stage in Jakarta."""
    return await build(catalogue)
