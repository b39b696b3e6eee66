"""Building showtimes anew from the ledger because somebody asked for it: each under its row in `rebuilds`.

The row comes first: if we end in between, a worker goes on with it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from engine.audit.auditor import Auditor, Tell
from engine.errors import Refusal, SeatlockError, Unavailable
from engine.ledger.database import transaction
from engine.ledger.queries import query
from engine.ledger.restore import Restorer
from engine.limits import REBUILDS_AT_ONCE_MAX

GONE = "it ended so long ago that Redis keeps nothing of it"
WAITS = "it waits for a person to look at its case; --force, with a --reason, says that somebody has"
AWAY = ("redis_unavailable", "ledger_unavailable")


class Rebuilt(NamedTuple):
    """How many showtimes were built anew, and why, in words, others could not be."""

    done: int
    failed: dict[int, str]


class Rebuilding:
    """Builds showtimes anew.

    Args:
        pool: of the ledger.
        auditor: knows which showtimes there are.
        restorer: does one.
    """

    def __init__(self, pool: asyncpg.Pool, auditor: Auditor, restorer: Restorer) -> None:
        self._pool = pool
        self._auditor = auditor
        self._restorer = restorer

    async def rebuild(
        self, showtimes: Sequence[int], *, actor: str, verb: str, reason: str, tell: Tell, force: bool = False
    ) -> Rebuilt:
        """Build showtimes anew, with one act for all of them; their holds are lost.

        Args:
            showtimes: their numbers; none for all that Redis has.
            actor, verb, reason: of the act.
            tell: of progress.
            force: also those that wait for a person.

        Raises:
            CommandError: there is no such showtime.
            Unavailable: `redis_unavailable`, `ledger_unavailable`; what is asked for and not done, workers do.
        """
        kept = await self._auditor.list_showtimes(showtimes)
        wanted = [number for number, there in kept.items() if there]
        failed = {number: GONE for number, there in kept.items() if not there and showtimes}
        if not showtimes:
            wanted = await self._auditor.loaded(wanted)
        if not wanted:
            return Rebuilt(0, failed)
        subject = f"showtime:{wanted[0]}" if len(wanted) == 1 else "showtimes"
        async with transaction(self._pool) as connection:
            await connection.fetchval(query("insert_act"), actor, verb, subject, reason, {"showtimes": wanted})
        broken = await self._rebuild_all(wanted, verb, force=force, tell=tell)
        return Rebuilt(len(wanted) - len(broken), failed | broken)

    async def _rebuild_all(self, showtimes: Sequence[int], why: str, *, force: bool, tell: Tell) -> dict[int, str]:
        turns, done, failed = asyncio.Semaphore(REBUILDS_AT_ONCE_MAX), 0, dict[int, str]()

        async def one(showtime: int) -> None:
            nonlocal done
            async with turns:
                if (error := await self._rebuild_one(showtime, why, force=force)) is not None:
                    failed[showtime] = error
            done += 1
            tell("Showtimes rebuilt", done, len(showtimes))

        await asyncio.gather(*(one(showtime) for showtime in showtimes))
        return failed

    async def _rebuild_one(self, showtime: int, why: str, *, force: bool) -> str | None:
        async with transaction(self._pool) as connection:
            claimed: Any = await connection.fetchval(query("audit_claim_rebuild"), showtime, why, force)
        if claimed is None:
            return WAITS
        try:
            await self._restorer.rebuild(showtime)
        except SeatlockError as error:
            if isinstance(error, Unavailable) and error.code in AWAY:
                raise
            again = "" if isinstance(error, Refusal) else " A worker will try again."
            return (str(error) if str(error) == error.code else f"{error.code}: {error}") + again
        return None
