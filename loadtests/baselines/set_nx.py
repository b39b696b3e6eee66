"""A key per seat, taken by `SET NX PX`, given back when another of the seats is somebody else's: the tutorials' way."""

from collections.abc import Sequence

import redis.asyncio

from loadtests.baselines import HOLD_S

COMPARE_AND_DELETE = """
local gone = 0
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then
    gone = gone + redis.call('DEL', key)
  end
end
return gone
"""


class SetNx:
    """All seats of a claim go out in one pipeline; what was won of a lost claim goes back in one script."""

    async def open(self, url: str, connections: int) -> None:
        """Connect."""
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=connections)
        self._redis = redis.asyncio.Redis.from_pool(pool)
        self._free = self._redis.register_script(COMPARE_AND_DELETE)

    async def prepare(self, showtimes: int, seats: int) -> None:  # noqa: ARG002 -- a free seat has no key
        """Forget everything."""
        await self._redis.flushall()

    async def claim(self, showtime: int, seats: Sequence[int], who: str) -> bool:
        """Take what is free; undo if it is not all."""
        keys = [f"seat:{showtime}:{seat}" for seat in seats]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.set(key, who, nx=True, px=HOLD_S * 1000)
            won = await pipeline.execute()
        if all(won):
            return True
        mine = [key for key, is_mine in zip(keys, won, strict=True) if is_mine]
        if mine:
            await self._free(mine, [who])
        return False

    async def release(self, showtime: int, seats: Sequence[int], who: str) -> None:
        """Delete the keys that still are this person's."""
        await self._free([f"seat:{showtime}:{seat}" for seat in seats], [who])

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
