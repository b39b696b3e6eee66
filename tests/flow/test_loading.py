"""Loading a showtime into Redis: by many at once, by one that dies, from a ledger that takes its time."""

import asyncio

import pytest

from engine import limits
from engine.ledger import restore as restore_module
from engine.seats.keys import showtime_key
from tests.houses import ANNA, open_house


@pytest.fixture
async def house(settings, small):
    """The engine over a Redis that has never heard of the showtime."""
    async with open_house(settings, small) as house:
        yield house


async def test_many_loaders_at_once_load_one_state(settings, small):
    """Twenty callers in two processes' runtimes: everybody is served, each seat has one owner (I1)."""
    async with open_house(settings, small) as one, open_house(settings, small) as two, one.worker():
        await one.ticketed([0])
        for loss in ("flushall", "damage"):
            if loss == "flushall":
                await one.runtime.redis.flushall()
            else:
                await one.runtime.redis.delete(showtime_key(one.showtime, "locked"))
            claims = [
                (one, two)[caller % 2].seats.claim_seats(one.showtime, f"guest:{loss}{caller}", [1 + caller % 10])
                for caller in range(20)
            ]
            answers = await asyncio.gather(*claims, return_exceptions=True)
            held = [answer.seats[0] for answer in answers if not isinstance(answer, Exception)]
            refusals = [getattr(answer, "code", answer) for answer in answers if isinstance(answer, Exception)]
            assert sorted(held) == list(range(1, 11))
            assert refusals == ["seats_taken"] * 10
            assert await one.map() == ({0}, set(range(1, 11)), set())


async def test_a_load_whose_process_died_is_not_waited_for_long(house, monkeypatch):
    """Schedule: a process begins a load and dies; who comes next loads as soon as the other one shows no life."""
    monkeypatch.setattr(limits, "LOAD_NONCE_TTL_MS", 200)
    await house.seats.begin_load(house.showtime, "of the dead")
    assert (await house.seats.claim_seats(house.showtime, ANNA, [1])).seats == (1,)


async def test_a_load_goes_on_however_long_the_ledger_takes(house, monkeypatch):
    """A load that outlasts its nonce is not begun again by anybody."""
    read = restore_module.Restorer._read_ledger

    async def read_slowly(self, *args):
        await asyncio.sleep(0.6)
        return await read(self, *args)

    monkeypatch.setattr(limits, "LOAD_NONCE_TTL_MS", 200)
    monkeypatch.setattr(restore_module, "LOAD_BEAT_MS", 20)
    monkeypatch.setattr(restore_module.Restorer, "_read_ledger", read_slowly)
    assert (await house.seats.claim_seats(house.showtime, ANNA, [1])).seats == (1,)
    assert await house.fetch("SELECT load_count FROM showtimes") == [(1,)]
