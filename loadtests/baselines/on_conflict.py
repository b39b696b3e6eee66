"""Holds as rows of PostgreSQL that a claim inserts, or takes over where the one before has ended."""

from collections.abc import Sequence

import asyncpg

from loadtests.baselines import HOLD_S, hand_on

TABLE = """
    CREATE TABLE on_conflict_holds (
        showtime integer, seat integer, holder text NOT NULL, ends_at timestamptz NOT NULL, PRIMARY KEY (showtime, seat)
    );
"""
TAKE = """
    INSERT INTO on_conflict_holds AS held
    SELECT $1, seat, $3, now() + make_interval(secs => $4) FROM unnest($2::integer[]) AS seat ORDER BY seat
    ON CONFLICT (showtime, seat) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at
    WHERE held.ends_at < now()
"""
FREE = "DELETE FROM on_conflict_holds WHERE showtime = $1 AND seat = ANY($2) AND holder = $3"


class _TakenError(Exception):
    """Undoes the transaction."""


class OnConflict:
    """One statement per claim; a transaction around it makes it all or nothing."""

    async def open(self, url: str, connections: int) -> None:
        """Connect; statements are prepared once per connection by the driver."""
        self._pool = await asyncpg.create_pool(url, min_size=connections, max_size=connections, reset=hand_on)

    async def prepare(self, showtimes: int, seats: int) -> None:  # noqa: ARG002 -- a free seat has no row
        """Make the empty table."""
        await self._pool.execute("DROP TABLE IF EXISTS on_conflict_holds")
        await self._pool.execute(TABLE)

    async def claim(self, showtime: int, seats: Sequence[int], who: str) -> bool:
        """Take all, or undo."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                done = await connection.execute(TAKE, showtime, seats, who, HOLD_S)
                if done != f"INSERT 0 {len(seats)}":
                    raise _TakenError
        except _TakenError:
            return False
        return True

    async def release(self, showtime: int, seats: Sequence[int], who: str) -> None:
        """Remove the rows."""
        await self._pool.execute(FREE, showtime, seats, who)

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()
