"""Refresh tokens are used once: each renewal gives the next one of the session, and an old one ends the session.

The tokens of a session are a family, numbered from 1. Redis keeps the highest number that was used, and when. The
same number may come again for a moment: an answer was lost, or two windows of a browser renewed at once. Later, or a
lower one, means that somebody kept what was thrown away: nothing of the family renews any more. If Redis loses
its memory, a token that was used may be used once more.
"""

import time
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from engine.errors import Refusal, Unavailable
from engine.limits import REFRESH_REPEAT_MS, REFRESH_TOKEN_TTL_S
from engine.seats.keys import renewal_key

ENDED = b"ended"


class Renewals:
    """Remembers, for all processes, which refresh tokens were used."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def use(self, family: str, number: int) -> None:
        """Use a token of a family.

        Raises:
            Refusal: `token_invalid`: it was used before; the family has ended.
            Unavailable: `redis_unavailable`; the same call is safe.
        """
        key = renewal_key(family)
        now_ms = time.time_ns() // 1_000_000
        try:
            before: Any = await self._client.set(key, f"{number} {now_ms}", ex=REFRESH_TOKEN_TTL_S, get=True)
            if before is None:
                return
            if before != ENDED:
                used, at_ms = map(int, before.split())
                if number > used:
                    return
                if number == used and abs(now_ms - at_ms) <= REFRESH_REPEAT_MS:
                    await self._client.set(key, before, ex=REFRESH_TOKEN_TTL_S)  # repeats do not lengthen the moment
                    return
            await self._client.set(key, ENDED, ex=REFRESH_TOKEN_TTL_S)
        except (RedisError, OSError) as error:
            raise Unavailable("redis_unavailable", str(error)) from None
        raise Refusal("token_invalid", "This refresh token was used before.")
