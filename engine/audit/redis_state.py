"""Reading showtimes from Redis for an audit: whole, at one moment each, whatever is damaged.

MULTI and not a script: a script of ours would refuse what is damaged or of another generation, which is just what an
audit wants to see; and Redis serves others between two showtimes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.exceptions import ResponseError

from engine.audit.records import RedisShowtime
from engine.limits import AUDIT_READS_AT_ONCE
from engine.seats.keys import showtime_key

KINDS = {"meta": dict, "seats": bytes, "deadlines": list, "checkouts": list}
"""What the command for each key answers if it is of our type."""
MAY_BE_ABSENT = {"checkouts"}
"""As long as nobody has checked out."""
SUBJECT_BYTES = 16
"""A customer's field of `meta` is the subject, that of a hold its owner number (lua/include/formats.lua)."""


class RedisState:
    """Reads showtimes. Redis' own errors rise from every method."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        # The client's answers are typed as everything that any protocol version may give.
        self._redis: Any = client
        self._turns = asyncio.Semaphore(AUDIT_READS_AT_ONCE)

    async def ping(self) -> None:
        """Make sure that Redis is there."""
        await self._redis.ping()

    async def loaded(self, showtimes: Sequence[int]) -> list[int]:
        """Give those of some showtimes that Redis has."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for showtime in showtimes:
                pipeline.exists(showtime_key(showtime, "meta"))
            found = await pipeline.execute()
        return [showtime for showtime, there in zip(showtimes, found, strict=True) if there]

    async def read(self, showtimes: Sequence[int]) -> list[RedisShowtime]:
        """Read showtimes, each at one moment; those that are gone meanwhile are left out."""
        states = await asyncio.gather(*(self._read_one(showtime) for showtime in showtimes))
        return [state for state in states if state is not None]

    async def _read_one(self, showtime: int) -> RedisShowtime | None:
        key = {name: showtime_key(showtime, name) for name in KINDS}
        async with self._turns, self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hgetall(key["meta"])
            pipeline.get(key["seats"])
            pipeline.zrange(key["deadlines"], 0, -1, withscores=True)
            pipeline.hkeys(key["checkouts"])
            answers = dict(zip(KINDS, await pipeline.execute(raise_on_error=False), strict=True))
        wrong = {}
        for name, kind in KINDS.items():
            if isinstance(answers[name], ResponseError):
                wrong[name] = "a key of another type"
                answers[name] = kind()
            elif not answers[name] and name not in MAY_BE_ABSENT:
                wrong[name] = "no key"
                answers[name] = kind()
        if wrong.get("meta") == "no key":
            return None
        meta, holds, customers = _sorted_out(answers["meta"])
        return RedisShowtime(
            number=showtime,
            meta=meta,
            seats=answers["seats"],
            holds=holds,
            deadlines={owner: float(score) for owner, score in answers["deadlines"]},
            customers=customers,
            checkouts=frozenset(answers["checkouts"]),
            wrong=wrong,
        )


def _sorted_out(fields: dict[bytes, bytes]) -> tuple[dict[bytes, bytes], dict[bytes, bytes], dict[bytes, bytes]]:
    """Tell the fields of `meta` apart: those of the showtime itself, holds by owner number, customers by subject."""
    meta, holds, customers = {}, {}, {}
    for field, value in fields.items():
        if len(field) == SUBJECT_BYTES:
            customers[field] = value
        elif field.isdigit():
            holds[field] = value
        else:
            meta[field] = value
    return meta, holds, customers
