"""The limiter of one process, and what several learn from each other through Redis."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from engine.errors import Unavailable
from engine.seats import limiter as limiter_module
from engine.seats.keys import rate_key
from engine.seats.lane import Lane
from engine.seats.limiter import WINDOW_US, Limiter, Quota
from engine.seats.scripts import load_scripts
from tests.lanes import Registry

SELLING = Quota("selling", 20)


@asynccontextmanager
async def open_lane(url):
    """A lane with the real scripts."""
    lane = Lane(url, load_scripts, part="test", identify=Registry().identify)
    await lane.start()
    yield lane
    await lane.close()


class Recorder:
    """Stands for the lane: keeps the calls, answers what it is told to."""

    def __init__(self, answer=None, error=None):
        self.calls = []
        self._answer = answer
        self._error = error

    def call(self, name, keys, args):
        self.calls.append((name, keys, args))
        if self._error is not None and not self._answer:
            raise self._error
        future = asyncio.get_running_loop().create_future()
        if self._answer is not None:
            future.set_result(self._answer)
        else:
            future.set_exception(self._error or Unavailable("redis_unavailable"))
        return future


async def test_as_many_pass_at_once_as_the_quota_says():
    """Twenty of twenty pass, the next is told when to come again, and others are not concerned."""
    limiter = Limiter(Recorder([b"taken", 0, 0]))
    verdicts = [limiter.take(SELLING, "rina") for _ in range(21)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 20 + [False]
    assert [verdict.left for verdict in verdicts[:3]] == [19, 18, 17]
    assert verdicts[19].left == 0
    assert 2_500 < verdicts[20].retry_after_ms <= 3_000
    assert limiter.take(SELLING, "budi").allowed
    assert limiter.take(Quota("reading", 20), "rina").allowed


async def test_a_refused_request_costs_redis_nothing():
    """A flood is turned away by the process alone."""
    recorder = Recorder([b"taken", 0, 0])
    limiter = Limiter(recorder)
    for _ in range(500):
        limiter.take(SELLING, "rina")
    assert len(recorder.calls) == 20
    assert recorder.calls[0] == ("take_token", (rate_key("selling", "rina"),), (WINDOW_US // 20, WINDOW_US))


async def test_reads_are_told_in_lots():
    """Ten reads are one write of Redis, with the cost of ten."""
    recorder = Recorder([b"taken", 0, 0])
    limiter = Limiter(recorder)
    for _ in range(25):
        limiter.take(Quota("reading", 100, 10), "rina")
    assert [args for _, _, args in recorder.calls] == [(WINDOW_US // 10, WINDOW_US)] * 2


async def test_reads_that_were_never_told_drain_away(monkeypatch):
    """Nine reads of an hour ago are not told with the first of today."""
    now_ns = 10**15
    monkeypatch.setattr(limiter_module, "monotonic_ns", lambda: now_ns)
    recorder = Recorder([b"taken", 0, 0])
    limiter = Limiter(recorder)
    reading = Quota("reading", 100, 10)
    for _ in range(9):
        limiter.take(reading, "rina")
    now_ns += 3_600 * 10**9
    for _ in range(9):
        limiter.take(reading, "rina")
    assert recorder.calls == []


async def test_what_other_processes_let_pass_is_learned_from_the_answer():
    """The first request passes, its answer says that the bucket is full, the second is refused."""
    limiter = Limiter(Recorder([b"rate_limited", 0, WINDOW_US]))
    assert limiter.take(SELLING, "rina").allowed
    await asyncio.sleep(0)
    refused = limiter.take(SELLING, "rina")
    assert (refused.allowed, refused.left) == (False, 0)
    assert refused.retry_after_ms <= 3_000


@pytest.mark.parametrize("error", [Unavailable("redis_unavailable"), Unavailable("overloaded")])
async def test_without_redis_the_process_goes_on_by_itself(error):
    """The limiter adds no outage of its own, and is no open door either."""
    limiter = Limiter(Recorder(error=error))
    assert [limiter.take(SELLING, "rina").allowed for _ in range(21)] == [True] * 20 + [False]


async def test_callers_not_seen_for_long_are_forgotten():
    """The memory of a process is bounded."""
    limiter = Limiter(Recorder([b"taken", 0, 0]), buckets_max=2)
    for who in ("rina", "budi", "sari"):
        limiter.take(SELLING, who)
    assert limiter.take(SELLING, "sari").left == 18
    assert limiter.take(SELLING, "rina").left == 19


async def test_two_processes_share_a_bucket(redis_url):
    """Forty requests alternate between two processes: what both know only late is two requests at most."""
    async with open_lane(redis_url) as one, open_lane(redis_url) as two:
        limiters = (Limiter(one), Limiter(two))
        passed = 0
        for number in range(40):
            passed += limiters[number % 2].take(SELLING, "rina").allowed
            await one.call("take_token", (rate_key("none", "x"),), (1, 1))  # all that was sent before is answered now
            await two.call("take_token", (rate_key("none", "x"),), (1, 1))
        assert 20 <= passed <= 21


async def test_a_bucket_expires_when_it_is_empty(redis_url, redis_client):
    """Nothing of a caller is kept for longer than the limit needs."""
    async with open_lane(redis_url) as lane:
        key = rate_key("selling", "rina")
        await lane.call("take_token", (key,), (3_000_000, WINDOW_US))
        assert 2_900 < await redis_client.pttl(key) <= 3_000
