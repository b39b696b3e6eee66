"""The audit: everything is compared once, in bulk, and what differs is looked at again.

A difference between Redis and the ledger may be something on its way from one to the other. So it counts only if it
is the same at a second look, after the facts that were on their way have arrived.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import asyncpg
import redis.asyncio
from redis.exceptions import RedisError

from engine import limits
from engine.audit.books_check import BooksFound, check_books, check_rest
from engine.audit.ledger_state import fetch, read_heads, read_showtimes
from engine.audit.records import Difference, Report
from engine.audit.redis_state import RedisState
from engine.audit.sales_check import check_showtime
from engine.errors import CommandError, Unavailable
from engine.ledger.database import reading, transaction
from engine.ledger.drained import Drain

Tell = Callable[[str, int, int], None]
"""Is told what is being done, how many steps of it are done, and how many there are."""

KEPT_AFTER_END = timedelta(milliseconds=limits.KEYS_OUTLIVE_SHOW_MS)
COUNTERS = ("seq_ahead", "seq_behind")
"""What is proved by one look; the numbers may move on between two."""


class Auditor:
    """Looks, and changes nothing.

    Args:
        pool: of the ledger.
        client: for raw keys and streams.
    """

    def __init__(self, pool: asyncpg.Pool, client: redis.asyncio.Redis) -> None:
        self._pool = pool
        self._redis = RedisState(client)
        self._drain = Drain(client, pool)

    async def audit(self, showtimes: Sequence[int], tell: Tell) -> Report:
        """Compare Redis, ledger and money.

        Args:
            showtimes: their numbers; none for all.
            tell: of progress.

        Raises:
            CommandError: there is no such showtime.
            Unavailable: `redis_unavailable`, `ledger_unavailable`.
        """
        began = time.monotonic()
        try:
            kept = await self.list_showtimes(showtimes)
            await self._redis.ping()
            found, suspects, loaded = BooksFound(), list[Difference](), 0
            numbers = list(kept)
            for start in range(0, len(numbers), limits.AUDIT_SHOWTIMES_PER_BATCH):
                batch = numbers[start : start + limits.AUDIT_SHOWTIMES_PER_BATCH]
                differing, count = await self._look([number for number in batch if kept[number]])
                suspects, loaded = suspects + differing, loaded + count
                async with transaction(self._pool, "repeatable_read") as connection:
                    found.add(await check_books(connection, batch))
                tell("Showtimes", start + len(batch), len(numbers))
            async with transaction(self._pool, "repeatable_read") as connection:
                found.add(await check_rest(connection, numbers if showtimes else None))
            staying, unjudged = await self._look_again(suspects, tell)
        except RedisError as error:
            raise Unavailable("redis_unavailable", str(error)) from error
        return Report(
            differences=(*staying, *found.differences),
            unjudged=tuple(unjudged),
            showtimes=len(numbers),
            loaded=loaded,
            tickets=found.tickets,
            captures=found.captures,
            books=found.books,
            took_s=round(time.monotonic() - began, 3),
        )

    async def list_showtimes(self, showtimes: Sequence[int]) -> dict[int, bool]:
        """Give showtimes, all if none are named, with whether Redis may still have them.

        Raises:
            CommandError: there is no such showtime.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self._pool) as connection:
            rows = await fetch(connection, "audit_list", showtimes or None, KEPT_AFTER_END)
        kept = {row["id"]: row["kept"] for row in rows}
        if missing := [str(showtime) for showtime in showtimes if showtime not in kept]:
            raise CommandError(f"there is no showtime {', '.join(missing)}")
        return kept

    async def loaded(self, showtimes: Sequence[int]) -> list[int]:
        """Give those of some showtimes that Redis has.

        Raises:
            Unavailable: `redis_unavailable`.
        """
        try:
            return await self._redis.loaded(showtimes)
        except RedisError as error:
            raise Unavailable("redis_unavailable", str(error)) from error

    async def _look(self, showtimes: Sequence[int], *, drain: bool = False) -> tuple[list[Difference], int]:
        """Compare Redis with the ledger; give the differences, and how many showtimes Redis has.

        With `drain`, facts that were on their way when Redis was read have arrived when the ledger is.

        Raises:
            Unavailable: `showtime_frozen`: they did not arrive in time.
        """
        loaded = await self._redis.loaded(showtimes)
        if not loaded:
            return [], 0
        async with reading(self._pool) as connection:
            before = await read_heads(connection, loaded)
        states = await self._redis.read(loaded)
        if drain:
            for showtime in loaded:
                await self._drain.wait(showtime, time.monotonic() + limits.LOAD_WAIT_MS / limits.SECOND_MS)
        async with transaction(self._pool, "repeatable_read") as connection:
            ledger = await read_showtimes(connection, loaded)
        found = []
        for state in states:
            found += check_showtime(state, ledger[state.number], before.get(state.number, {}))
        return found, len(states)

    async def _look_again(self, suspects: Sequence[Difference], tell: Tell) -> tuple[list[Difference], list[int]]:
        """Look once more where something differed; give what is still the same, and showtimes that cannot be judged."""
        showtimes = sorted({one.showtime for one in suspects if one.showtime is not None})
        if not showtimes:
            return [], []
        await asyncio.sleep(limits.AUDIT_LOOK_AGAIN_MS / limits.SECOND_MS)
        known = {_identity(one) for one in suspects}
        staying: list[Difference] = []
        unjudged: list[int] = []
        turns, done = asyncio.Semaphore(limits.AUDIT_READS_AT_ONCE), 0

        async def look(showtime: int) -> None:
            nonlocal done
            async with turns:
                try:
                    again, _ = await self._look([showtime], drain=True)
                except Unavailable as error:
                    if error.code != "showtime_frozen":
                        raise
                    unjudged.append(showtime)
                else:
                    staying.extend(one for one in again if _identity(one) in known)
            done += 1
            tell("Second looks", done, len(showtimes))

        await asyncio.gather(*(look(showtime) for showtime in showtimes))
        staying.sort(key=lambda one: one.showtime or 0)
        return staying, sorted(unjudged)


def _identity(one: Difference) -> tuple[str, ...]:
    words = (one.kind, str(one.showtime), one.place)
    return words if one.kind in COUNTERS else (*words, one.expected, one.found)
