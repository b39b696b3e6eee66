"""Log-ins that failed: counted by e-mail, whether or not there is such an account, so that the limit tells nothing."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from engine.errors import Refusal
from engine.limits import LOGIN_FAILURES_MAX, LOGIN_WINDOW_MS
from engine.seats.keys import logins_key

log = structlog.get_logger()


class Attempts:
    """Counts in Redis, for all processes. Without Redis nothing is counted: who keeps the house must get in then.

    Args:
        client: of the Redis that all processes share.
        enabled: False lifts the limit, for load tests.
    """

    def __init__(self, client: redis.asyncio.Redis, *, enabled: bool = True) -> None:
        self._client = client
        self._enabled = enabled

    @asynccontextmanager
    async def attempt(self, email: str) -> AsyncIterator[None]:
        """Run one attempt: it counts as failed if the block refuses, clears the count if the block ends well.

        It is counted before, not after: however many come at once, no more than the limit are tried. What fails for
        want of a server is not held against anybody.

        Raises:
            Refusal: `rate_limited {retry_after_ms}`, before the block; whatever the block raises.
        """
        if not self._enabled:
            yield
            return
        key = logins_key(hashlib.blake2b(email.strip().lower().encode("utf-8", "replace"), digest_size=16).hexdigest())
        await self._count(key)
        try:
            yield
        except Refusal:
            raise
        except BaseException:
            await self._take_back(key)
            raise
        await self._forget(key)

    async def _count(self, key: str) -> None:
        try:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.set(key, 0, px=LOGIN_WINDOW_MS, nx=True)
                pipe.incr(key)
                pipe.pttl(key)
                _, tries, left_ms = await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("attempts_uncounted", error=str(error))
            return
        if tries > LOGIN_FAILURES_MAX:
            raise Refusal("rate_limited", "Too many log-ins failed.", retry_after_ms=max(left_ms, 1))

    async def _take_back(self, key: str) -> None:
        try:
            if await self._client.decr(key) <= 0:
                await self._client.delete(key)
        except (RedisError, OSError) as error:
            log.warning("attempts_uncounted", error=str(error))

    async def _forget(self, key: str) -> None:
        try:
            await self._client.delete(key)
        except (RedisError, OSError) as error:
            log.warning("attempts_uncounted", error=str(error))
