"""Waiting for what becomes of money: a wake-up is only a hint."""

import asyncio

import pytest
import redis.asyncio

from engine.ledger.outcomes import CHANNEL, Outcomes, publish_outcomes


class Ledger:
    """Tells an outcome once it is set, and counts how often it was asked."""

    def __init__(self):
        self.outcome = None
        self.looks = 0

    async def read_outcome(self, gateway, session_id):
        self.looks += 1
        return self.outcome


@pytest.fixture
async def outcomes(redis_url):
    """A listening process."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        outcomes = Outcomes(client, Ledger())
        await outcomes.start()
        yield outcomes
        await outcomes.close()


async def listeners(client, wanted):
    """Wait until so many processes listen."""
    while dict(await client.pubsub_numsub(CHANNEL))[CHANNEL.encode()] != wanted:
        await asyncio.sleep(0.01)


async def begun(outcomes, looks):
    """Wait until the ledger was asked so often."""
    while outcomes._ledger.looks < looks:
        await asyncio.sleep(0.001)


async def test_a_wake_up_is_followed_by_a_look(outcomes, redis_client, monkeypatch):
    """The waiter does not wait for its own next look; sessions of others wake nobody."""
    monkeypatch.setattr("engine.ledger.outcomes.OUTCOME_POLL_MS", 60_000)
    await asyncio.wait_for(listeners(redis_client, 1), 5)
    waiter = asyncio.create_task(outcomes.wait("fake", "s1", 60_000))
    await begun(outcomes, 1)
    await publish_outcomes(redis_client, ["other", "s1"])
    await asyncio.wait_for(begun(outcomes, 2), 5)
    await publish_outcomes(redis_client, ["other"])
    outcomes._ledger.outcome = "TICKETS"
    await publish_outcomes(redis_client, ["s1"])
    assert await asyncio.wait_for(waiter, 5) == "TICKETS"
    assert outcomes._ledger.looks == 3
    assert outcomes._waiters == {}


async def test_without_a_wake_up_the_waiter_looks_by_itself(outcomes, redis_client):
    """A lost message costs a quarter of a second."""
    waiter = asyncio.create_task(outcomes.wait("fake", "s1", 60_000))
    await begun(outcomes, 1)
    outcomes._ledger.outcome = "REFUND"
    assert await asyncio.wait_for(waiter, 5) == "REFUND"


async def test_the_wait_has_an_end(outcomes):
    """Nothing became of it in time; nobody is left behind."""
    assert await outcomes.wait("fake", "s1", 50) is None
    assert outcomes._waiters == {}


async def test_the_subscription_comes_back(outcomes, redis_client):
    """Redis drops every connection; the next wake-up arrives again."""
    await asyncio.wait_for(listeners(redis_client, 1), 5)
    await redis_client.client_kill_filter(_type="pubsub")
    await asyncio.wait_for(listeners(redis_client, 1), 5)


async def test_no_failure_ends_the_listening(redis_url, redis_client, monkeypatch):
    """A library that trips over its own feet costs one try; the process goes on to be woken up."""
    monkeypatch.setattr("engine.ledger.outcomes.RECONNECT_S", 0.01)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        subscribe, tries = client.pubsub, []

        def stumble(**options):
            tries.append(1)
            if len(tries) == 1:
                raise IndexError("deque index out of range")
            return subscribe(**options)

        monkeypatch.setattr(client, "pubsub", stumble)
        outcomes = Outcomes(client, Ledger())
        await outcomes.start()
        await asyncio.wait_for(listeners(redis_client, 1), 5)
        await outcomes.close()
    assert len(tries) == 2
