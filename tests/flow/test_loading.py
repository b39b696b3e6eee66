"""Loading a showtime into Redis: by many at once, by one that dies, from a ledger that takes its time."""

import asyncio

import pytest

from engine import limits
from engine.errors import Unavailable
from engine.ledger import reader as reader_module
from engine.ledger import restore as restore_module
from engine.ledger.fact_stream import FactStreams
from engine.ledger.unseen_sales import UnseenSales
from engine.seats.keys import partition_of, showtime_key
from tests.houses import ANNA, BUDI, open_house
from tests.ledgers import eventually
from tests.seat_places import bit_at, hold_field


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
                await one.runtime.redis.delete(showtime_key(one.showtime, "seats"))
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


async def test_who_comes_late_to_damage_mends_it_no_second_time(house):
    """Schedule: two callers meet damage; one restores, and claims; only then the other's restore begins.

    A second load would take the first one's new hold away from its customer.
    """
    await house.map()
    redis = house.runtime.redis
    await redis.delete(showtime_key(house.showtime, "seats"))
    seconds, micros = await redis.time()
    await house.seats.claim_seats(house.showtime, ANNA, [1])
    await house.runtime.restorer.restore(house.showtime, "damaged", seconds * 1000 + micros // 1000)
    assert await house.map() == (set(), {1}, set())
    assert await house.fetch("SELECT load_count FROM showtimes") == [(2,)]
    assert await house.fetch("SELECT count(*) FROM rebuilds") == [(0,)]
    await redis.delete(showtime_key(house.showtime, "seats"))
    assert (await house.seats.claim_seats(house.showtime, BUDI, [1])).seats == (1,)


async def test_a_restore_of_damage_that_fails_halfway_is_done_again(house, monkeypatch):
    """Schedule: writers met damage and were stopped; then PostgreSQL was away. Readers see nothing wrong to restore."""
    hold = await house.check_out([4])
    await house.runtime.redis.hdel(showtime_key(house.showtime, "meta"), hold_field(hold.owner))
    with monkeypatch.context() as patched:

        async def fail(*args, **options):
            raise Unavailable("ledger_unavailable")

        patched.setattr(restore_module.Restorer, "_load", fail)
        with pytest.raises(Unavailable):
            await house.seats.claim_seats(house.showtime, BUDI, [4])
    with pytest.raises(Unavailable, match="rebuilding"):
        await house.seats.claim_seats(house.showtime, BUDI, [4])
    assert await house.duties.rebuild_showtimes() == 0, "whoever began it has some seconds to end it"
    await house.fetch("UPDATE rebuilds SET tried_at = now() - interval '1 minute'")
    await house.duties.rebuild_showtimes()
    assert (await house.seats.claim_seats(house.showtime, BUDI, [4])).seats == (4,)
    assert await house.fetch("SELECT count(*) FROM rebuilds") == [(0,)]


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
    claim = house.seats.claim_seats(house.showtime, ANNA, [1])
    (answer,) = await asyncio.gather(claim, return_exceptions=True)
    assert getattr(answer, "seats", answer) == (1,)
    assert await house.fetch("SELECT load_count FROM showtimes") == [(1,)]


async def test_facts_in_a_workers_hands_when_redis_is_emptied_are_shown_soon(house, monkeypatch):
    """Schedule: the worker has read a sale; FLUSHALL; the showtime is loaded without it; then it is committed."""
    committed = asyncio.Event()
    project = reader_module.project

    async def project_later(*args):
        await committed.wait()
        return await project(*args)

    monkeypatch.setattr(reader_module, "project", project_later)
    await house.sell([0])
    async with house.worker():
        await eventually(lambda: is_read(house))
        await house.runtime.redis.flushall()
        assert await house.map() == (set(), set(), set())
        committed.set()
        await eventually(lambda: a_rebuild_is_asked_for(house))
        await house.duties.rebuild_showtimes()
        assert await house.map() == ({0}, set(), set())


async def is_read(house):
    """Whether the worker has the showtime's facts in its hands."""
    position = await FactStreams(house.runtime.redis).position(partition_of(house.showtime))
    return position.pending == 1


async def a_rebuild_is_asked_for(house):
    """Whether somebody has noticed."""
    return await house.fetch("SELECT reason, automatic FROM rebuilds") == [("facts_missing", True)]


async def test_a_doubt_without_a_reason_asks_for_nothing(house):
    """Fewer acknowledgements have other causes, too; and a rebuild would cost the showtime's holds."""
    unseen = UnseenSales(house.runtime.redis)
    async with house.worker():
        await house.ticketed([0, 9])
        for free, asked in (None, []), (9, [("facts_missing",)]):
            if free is not None:
                await house.runtime.redis.setbit(showtime_key(house.showtime, "seats"), bit_at("sold", free, 40), 0)
            unseen.doubt([house.showtime])
            async with house.ledger.pool.acquire() as connection:
                await unseen.look(connection)
            assert await house.fetch("SELECT reason FROM rebuilds") == asked
