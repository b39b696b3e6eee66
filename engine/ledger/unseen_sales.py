"""Sales that the ledger got after Redis had been loaded from it without them.

A worker may have read facts whose stream is lost before they are committed (FLUSHALL, a Redis that comes back empty).
The next claim loads the showtime: its stream is drained, as there is none, and the ledger lacks what is in that
worker's hands. When it is committed Redis shows sold seats as free, and nothing else would tell before an audit.
"""

import time
from collections.abc import Iterable
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import ResponseError

from engine import limits
from engine.ledger.bookkeeping import ask_rebuilds
from engine.ledger.database import committing
from engine.ledger.queries import query
from engine.seats.keys import showtime_key
from engine.seats.seat_string import read_seat_string

log = structlog.get_logger()

LOOKS_AFTER_MS = (0, limits.LOAD_WAIT_MS + limits.LOAD_NONCE_TTL_MS)
"""Now, and when a load is over that may have read the ledger before."""


class UnseenSales:
    """Looks for them where the acknowledgements of facts were fewer than the facts.

    Args:
        client: made by `open_redis`.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis: Any = client
        self._looks: list[tuple[float, int]] = []

    def doubt(self, showtimes: Iterable[int]) -> None:
        """Look at these showtimes soon."""
        now = time.monotonic()
        for showtime in set(showtimes):
            self._looks += [(now + after_ms / limits.SECOND_MS, showtime) for after_ms in LOOKS_AFTER_MS]

    async def look(self, connection: Any) -> None:
        """Ask for rebuilds of the showtimes that are due and have sold seats that Redis does not know.

        Raises:
            Unavailable: `ledger_unavailable`; RedisError: what was due is looked at again.
        """
        now = time.monotonic()
        for showtime in {showtime for at, showtime in self._looks if at <= now}:
            unseen = await self._unseen(connection, showtime)
            if unseen:
                log.error("sales_unseen", showtime=showtime, seats=len(unseen))
                async with committing(connection):
                    await ask_rebuilds(connection, {showtime: "facts_missing"}, automatic=True)
        self._looks = [(at, showtime) for at, showtime in self._looks if at > now]

    async def _unseen(self, connection: Any, showtime: int) -> set[int]:
        """Give sold seats that are not sold in Redis; none while it does not know the showtime.

        A sale is in Redis first and a refund in the ledger: what the ledger says before and after, Redis must say.
        """
        before = await _sold(connection, showtime)
        try:
            seats = read_seat_string(await self._redis.get(showtime_key(showtime, "seats")))
        except ResponseError:
            return set()  # of another type (or, below, length): the next script says so, and a load mends it
        if seats is None:
            return set()
        unseen = before - seats.sold
        return unseen & await _sold(connection, showtime) if unseen else unseen


async def _sold(connection: Any, showtime: int) -> set[int]:
    return {row["seat_index"] for row in await connection.fetch(query("list_sold_seats"), showtime)}
