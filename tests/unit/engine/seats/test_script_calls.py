"""What is common to all calls: restoring what Redis lost, and never running late."""

import asyncio

import pytest

from engine import limits
from engine.errors import Unavailable
from engine.seats.keys import showtime_key
from engine.seats.records import Request
from engine.seats.seat_map import summary
from tests.showtimes import ANNA, refused


async def test_a_showtime_not_loaded_is_restored_and_the_call_repeated(engine, restorer):
    """The caller notices nothing; readers too."""
    restorer.loads = {10: {}, 11: {}}
    assert (await engine.claim_seats(10, ANNA, [1])).seats == (1,)
    assert (await engine.read_seats(11)).seats == 100
    assert restorer.calls == [(10, "not_loaded"), (11, "not_loaded")]


async def test_a_restore_serves_all_who_wait(engine, restorer):
    """Fifty callers of a showtime that is not loaded cost one load, also when the first of them leaves."""
    restorer.loads = {10: {}}
    restorer.pause.clear()
    callers = [asyncio.create_task(engine.claim_seats(10, f"guest:{n}", [n])) for n in range(50)]
    while not restorer.calls:
        await asyncio.sleep(0)
    callers[0].cancel()
    restorer.pause.set()
    holds = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(holds[0], asyncio.CancelledError)
    assert [hold.seats for hold in holds[1:]] == [(n,) for n in range(1, 50)]
    assert restorer.calls == [(10, "not_loaded")]


async def test_another_stamp_and_damage_are_restored(engine, restorer, redis_client):
    """A foreign generation, a lost key and a key of another type never read as free seats."""
    restorer.loads = {42: {"sold": {5: 1}}}
    await redis_client.hset(showtime_key(42, "meta"), "generation", 99)
    assert summary(await engine.read_seats(42))["sold"] == 1
    await redis_client.delete(showtime_key(42, "seats"))
    with refused("seats_taken"):
        await engine.claim_seats(42, ANNA, [5])
    await redis_client.set(showtime_key(42, "deadlines"), "text")
    assert (await engine.claim_seats(42, ANNA, [6])).seats == (6,)
    assert [why for _, why in restorer.calls] == ["stale_generation", "damaged", "damaged"]


async def test_a_remembered_request_of_another_type_is_damage(engine, restorer, redis_client):
    """An error of Redis about a key's type asks for a restore; one that does not help is told as frozen."""
    restorer.loads = {42: {}}
    await redis_client.rpush(showtime_key(42, "meta").removesuffix("meta") + "request:r", "x")
    with pytest.raises(Unavailable) as caught:
        await engine.claim_seats(42, ANNA, [1], Request(id="r", fingerprint="f"))
    assert caught.value.code == "showtime_frozen"
    assert restorer.calls == [(42, "damaged")]


async def test_what_cannot_be_restored_says_why(engine, restorer):
    """The restorer's refusal reaches the caller, and the next one asks anew."""
    for _ in range(2):
        with refused("not_found"):
            await engine.claim_seats(1_000, ANNA, [1])
    assert len(restorer.calls) == 2


async def test_a_restore_that_changes_nothing_is_not_repeated(engine, redis_lane):
    """After one restore and one repeat the caller is told to come later."""

    async def idle(showtime, why, said_ms):
        pass

    engine._restore = idle
    with pytest.raises(Unavailable) as caught:
        await engine.claim_seats(1_000, ANNA, [1])
    assert (caught.value.code, caught.value.outcome) == ("showtime_frozen", "definite")


async def test_a_call_that_comes_too_late_does_not_run(engine, redis_lane, monkeypatch):
    """A command that waited in front of a frozen Redis makes no ghost."""
    monkeypatch.setattr(limits, "CALL_BUDGET_MS", -1_000)
    with pytest.raises(Unavailable) as caught:
        await engine.claim_seats(42, ANNA, [1])
    assert (caught.value.code, caught.value.outcome) == ("overloaded", "definite")
    assert summary(await engine.read_seats(42))["locked"] == 0
