"""Two Redis servers that are masters in turn, and never replicas of each other."""

import asyncio

import msgspec
import pytest

from engine.embedded.valkey import EmbeddedValkey
from tests.clusters import running
from tests.conftest import find_redis
from tests.houses import ANNA, BUDI, open_house
from tests.ledgers import eventually
from tests.proxy import open_proxy
from tests.showtimes import refused


@pytest.fixture
async def two_masters(settings, redis_server, tmp_path):
    """Settings that name a network which leads to a first Redis, that network, and both of them."""
    program = find_redis(redis_server.kind)
    with running(EmbeddedValkey(tmp_path / "a", program)) as a, running(EmbeddedValkey(tmp_path / "b", program)) as b:
        async with open_proxy(a.socket, tmp_path / "proxy.sock") as network:
            yield msgspec.structs.replace(settings, redis_url=network.url), network, a, b


async def test_a_master_that_is_met_again_is_not_trusted(two_masters, small):
    """Schedule: failover to another Redis, which sells, and back to the first, which nobody had demoted (I1, I8)."""
    settings, network, first, other = two_masters
    async with open_house(settings, small) as house, house.worker():
        await house.ticketed([0])
        await lead_to(house, network, other)
        await house.ticketed([1], BUDI)
        await lead_to(house, network, first)
        with refused("seats_taken"):
            await house.seats.claim_seats(house.showtime, ANNA, [1])
        assert await house.map() == ({0, 1}, set(), set())
        await house.ticketed([2])


async def test_a_process_that_missed_a_failover_there_and_back_goes_on(two_masters, small):
    """Schedule: others went to another Redis and came back; this one's connection to the first one lasted all along."""
    settings, network, first, other = two_masters
    on_first = msgspec.structs.replace(settings, redis_url=first.url)
    async with open_house(on_first, small) as here, open_house(settings, small) as house, house.worker():
        await here.map()
        await lead_to(house, network, other)
        await house.ticketed([1], BUDI)
        await lead_to(house, network, first)
        assert await house.map() == ({1}, set(), set())
        claim = here.seats.claim_seats(house.showtime, ANNA, [1])
        (answer,) = await asyncio.gather(claim, return_exceptions=True)
        assert getattr(answer, "code", answer) == "seats_taken"
        assert (await here.seats.claim_seats(house.showtime, ANNA, [2])).seats == (2,)
        assert here.runtime.lane.generation == house.runtime.lane.generation


async def lead_to(house, network, server):
    """Let a network lead elsewhere, and wait until the lane has noticed."""
    generation = house.runtime.lane.generation
    network.upstream = server.socket
    network.cut()

    async def is_back():
        return house.runtime.lane.generation > generation

    await eventually(is_back, 20)
