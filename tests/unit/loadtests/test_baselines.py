"""The designs that we compare with do what they claim to: a slow or wrong rival would prove nothing."""

import asyncio

import pytest

from engine.bench.contests import BASELINES, ENGINE
from loadtests.baselines.for_update import ForUpdate
from loadtests.baselines.on_conflict import OnConflict
from loadtests.baselines.seat_hash import SeatHash
from loadtests.baselines.set_nx import SetNx

DESIGNS = [ForUpdate, OnConflict, SeatHash, SetNx]
BUYERS = 20


@pytest.fixture(params=DESIGNS, ids=lambda design: design.__name__)
async def design(request, redis_url, database_url):
    """A design with two showtimes of ten seats."""
    design = request.param()
    on_postgres = request.param in (ForUpdate, OnConflict)
    await design.open(database_url if on_postgres else redis_url, 4)
    await design.prepare(2, 10)
    yield design
    await design.close()


async def test_a_claim_gets_all_of_its_seats_or_none(design):
    """What is not won of a lost claim stays free, also in another showtime."""
    assert await design.claim(1, (2, 3), "anna")
    assert not await design.claim(1, (3, 4), "budi")
    assert await design.claim(1, (4, 5), "budi")
    assert await design.claim(2, (2, 3), "budi")


async def test_only_the_holder_gives_seats_back(design):
    """Another's release changes nothing."""
    await design.claim(1, (2, 3), "anna")
    await design.release(1, (2, 3), "budi")
    assert not await design.claim(1, (2, 3), "budi")
    await design.release(1, (2, 3), "anna")
    assert await design.claim(1, (2, 3), "budi")


async def test_of_many_at_once_one_gets_the_seats(design):
    """Whatever the interleaving."""
    won = await asyncio.gather(*(design.claim(1, (6, 7), f"guest-{number}") for number in range(BUYERS)))
    assert sum(won) <= 1
    # The tutorials' way may let everybody lose, when each has one seat of the two; nobody else may.
    assert any(won) or isinstance(design, SetNx)


def test_every_design_is_where_the_bench_looks_for_it():
    """By module and class."""
    for design in (ENGINE, *BASELINES):
        module, _, name = design.where.partition(":")
        assert hasattr(__import__(module, fromlist=[name]), name)
