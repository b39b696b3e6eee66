"""How many requests a caller may make: a bucket per caller and lane (GCRA), shared by all processes through Redis.

A process decides by what it knows of a bucket and tells Redis in the same turn in which the request's own call
leaves; the answer corrects what it knows. So a request never waits for its limit, a flood is refused without asking
Redis, and with Redis away each process goes on by itself. What several processes may grant too much is what is on its
way between them and Redis, and for a lane that reports in lots, one lot of each.
"""

import asyncio
from collections import OrderedDict
from functools import partial
from time import monotonic_ns
from typing import Any, NamedTuple, Protocol

import structlog

from engine.errors import Unavailable
from engine.limits import RATE_BUCKETS_MAX, RATE_WINDOW_MS
from engine.seats.keys import rate_key

log = structlog.get_logger()

WINDOW_US = RATE_WINDOW_MS * 1_000


class Scripts(Protocol):
    """What the limiter needs of the lane to Redis; see `Lane.call`."""

    def call(self, name: str, keys: Any, args: Any) -> "asyncio.Future[list[Any]]":
        """Run a script."""


class Quota(NamedTuple):
    """What one kind of caller may do in one lane.

    Attributes:
        lane: names the quota, in headers and keys.
        requests: per `RATE_WINDOW_MS`; as many may come at once.
        lot: how many requests are told to Redis together.
    """

    lane: str
    requests: int
    lot: int = 1


class Verdict(NamedTuple):
    """Whether a request may pass, how many more would now, and when the bucket is whole again."""

    allowed: bool
    left: int
    whole_in_ms: int
    retry_after_ms: int


class _Bucket:
    __slots__ = ("empty_at_us", "keys", "untold")

    def __init__(self, key: str) -> None:
        self.empty_at_us = 0.0
        self.keys = (key,)
        self.untold = 0


class Limiter:
    """The buckets of one process.

    Args:
        lane: to Redis.
        buckets_max: how many are known at a time; the one not asked for longest is forgotten first.
    """

    def __init__(self, lane: Scripts, buckets_max: int = RATE_BUCKETS_MAX) -> None:
        self._lane = lane
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._buckets_max = buckets_max

    def take(self, quota: Quota, who: str) -> Verdict:
        """Take one request of `who` out of its bucket, if it still fits. Never waits, never fails."""
        now_us = monotonic_ns() / 1_000
        each_us = WINDOW_US / quota.requests
        bucket = self._bucket(quota.lane, who)
        tell_at = min(quota.requests, quota.lot)
        ahead_us = max(bucket.empty_at_us - now_us, 0.0)
        if ahead_us + each_us > WINDOW_US + 1:
            return Verdict(False, 0, round(ahead_us / 1_000), max(1, round((ahead_us + each_us - WINDOW_US) / 1_000)))
        if ahead_us == 0.0:
            bucket.untold = 0  # What was not told by now has drained away.
        ahead_us += each_us
        bucket.empty_at_us = now_us + ahead_us
        bucket.untold += 1
        left = int((WINDOW_US + 1 - ahead_us) / each_us)
        if bucket.untold >= tell_at:
            self._tell(bucket, each_us)
        return Verdict(True, left, round(ahead_us / 1_000), 0)

    def _bucket(self, lane: str, who: str) -> _Bucket:
        bucket = self._buckets.get((lane, who))
        if bucket is None:
            bucket = self._buckets[(lane, who)] = _Bucket(rate_key(lane, who))
            if len(self._buckets) > self._buckets_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end((lane, who))
        return bucket

    def _tell(self, bucket: _Bucket, each_us: float) -> None:
        cost_us, bucket.untold = int(bucket.untold * each_us), 0
        try:
            answer = self._lane.call("take_token", bucket.keys, (cost_us, WINDOW_US))
        except Unavailable:
            return  # The request's own call will say so, if it needs Redis.
        answer.add_done_callback(partial(_learn, bucket))


def _learn(bucket: _Bucket, answer: "asyncio.Future[list[Any]]") -> None:
    """Take over what all processes together have let pass."""
    if answer.cancelled():
        return
    error = answer.exception()
    if error is None:
        word, _, ahead_us = answer.result()
        assert word in (b"taken", b"rate_limited"), word
        empty_at_us = monotonic_ns() / 1_000 + ahead_us
        bucket.empty_at_us = max(bucket.empty_at_us, empty_at_us)
    elif not isinstance(error, Unavailable):
        log.error("rate_limit_failed", error=str(error))
