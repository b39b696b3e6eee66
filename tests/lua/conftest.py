"""An open showtime of 40 seats, on every kind of server."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.lua.house import House


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    """A plain client of an empty server; answers are bytes."""
    with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
def closed_house(client: Redis, redis_server) -> House:
    """A showtime that is not loaded."""
    return House(client, redis_server.version)


@pytest.fixture
def house(closed_house: House) -> House:
    """A showtime on sale, all seats free."""
    closed_house.open()
    return closed_house
