"""Seats as rows of PostgreSQL, locked by `SELECT ... FOR UPDATE` in the transaction that claims them."""

from collections.abc import Sequence

import asyncpg

from loadtests.baselines import HOLD_S, hand_on

TABLE = """
    CREATE TABLE for_update_seats (
        showtime integer, seat integer, holder text, ends_at timestamptz, PRIMARY KEY (showtime, seat)
    );
"""
FILL = "INSERT INTO for_update_seats SELECT t, s FROM generate_series(1, $1) t, generate_series(0, $2 - 1) s"
# In one order everywhere, so that two claims never wait for each other.
LOCK = """
    SELECT holder, ends_at > now() FROM for_update_seats WHERE showtime = $1 AND seat = ANY($2) ORDER BY seat FOR UPDATE
"""
TAKE = """
    UPDATE for_update_seats SET holder = $3, ends_at = now() + make_interval(secs => $4)
    WHERE showtime = $1 AND seat = ANY($2)
"""
FREE = "UPDATE for_update_seats SET holder = NULL WHERE showtime = $1 AND seat = ANY($2) AND holder = $3"


class ForUpdate:
    """Indexed and prepared; the lock is asked for first, as a booking service does."""

    async def open(self, url: str, connections: int) -> None:
        """Connect; statements are prepared once per connection by the driver."""
        self._pool = await asyncpg.create_pool(url, min_size=connections, max_size=connections, reset=hand_on)

    async def prepare(self, showtimes: int, seats: int) -> None:
        """Make all rows."""
        await self._pool.execute("DROP TABLE IF EXISTS for_update_seats")
        await self._pool.execute(TABLE)
        await self._pool.execute(FILL, showtimes, seats)
        await self._pool.execute("VACUUM ANALYZE for_update_seats")

    async def claim(self, showtime: int, seats: Sequence[int], who: str) -> bool:
        """Lock, look, take."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(LOCK, showtime, seats)
            if any(holder is not None and living for holder, living in rows):
                return False
            await connection.execute(TAKE, showtime, seats, who, HOLD_S)
            return True

    async def release(self, showtime: int, seats: Sequence[int], who: str) -> None:
        """Forget the holder."""
        await self._pool.execute(FREE, showtime, seats, who)

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()
