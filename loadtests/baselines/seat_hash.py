"""Each seat a JSON text in a hash; a script moves it from the hash of free seats to that of locked ones."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import redis.asyncio

from loadtests.baselines import HOLD_S

HERE = Path(__file__).parent
AT_ONCE = 50


class SeatHash:
    """The way of a popular open-source ticket shop, through redis-py."""

    async def open(self, url: str, connections: int) -> None:
        """Connect."""
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=connections)
        self._redis = redis.asyncio.Redis.from_pool(pool)
        self._lock = self._redis.register_script((HERE / "seat_hash.lua").read_text("utf-8"))
        self._free = self._redis.register_script((HERE / "seat_hash_release.lua").read_text("utf-8"))

    async def prepare(self, showtimes: int, seats: int) -> None:
        """Make all seats, each with what a shop keeps of one."""
        await self._redis.flushall()
        for first in range(1, showtimes + 1, AT_ONCE):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for showtime in range(first, min(first + AT_ONCE, showtimes + 1)):
                    texts = {str(seat): _seat(showtime, seat) for seat in range(seats)}
                    pipeline.hset(f"show:{showtime}:free", mapping=texts)
                await pipeline.execute()

    async def claim(self, showtime: int, seats: Sequence[int], who: str) -> bool:
        """Move all, or none."""
        until_ms = time.time_ns() // 1_000_000 + HOLD_S * 1000
        keys = [f"show:{showtime}:free", f"show:{showtime}:locked"]
        return bool(await self._lock(keys, [who, until_ms, *seats]))

    async def release(self, showtime: int, seats: Sequence[int], who: str) -> None:
        """Move them back."""
        await self._free([f"show:{showtime}:free", f"show:{showtime}:locked"], [who, *seats])

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


def _seat(showtime: int, seat: int) -> str:
    return json.dumps(
        {
            "id": f"{showtime:08d}-{seat:04d}",
            "row": chr(ord("A") + seat // 20),
            "number": seat % 20 + 1,
            "section": "REGULAR",
            "price": {"amount": 5_000_000, "currency": "IDR"},
            "accessible": False,
            "status": "FREE",
        }
    )
