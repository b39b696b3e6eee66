"""What follows from a cancelled showtime, in calls and transactions so small that others hardly notice.

The ledger has decided, so nothing is confirmed any more; telling Redis ends all claims; the rest is the worker's.
"""

import asyncio
import time

import structlog

from engine import limits
from engine.errors import Refusal, SeatlockError
from engine.ledger.ledger import Ledger
from engine.seats.redis_errors import RedisError
from engine.seats.seat_engine import SeatEngine

log = structlog.get_logger()


async def close_showtime(ledger: Ledger, seats: SeatEngine, showtime: int) -> None:
    """Tell Redis that a showtime is cancelled, and note that it knows.

    Raises:
        Unavailable: as the seat engine and the ledger; the same call is safe.
    """
    await seats.close_showtime(showtime)
    await ledger.close_cancellation(showtime)


class Cancelling:
    """Works cancellations off. Several workers may do so for the same showtime; each takes what no other has.

    Args:
        ledger: says what is left to do, and where most of it is done.
        seats: where holds end.
    """

    def __init__(self, ledger: Ledger, seats: SeatEngine) -> None:
        self._ledger = ledger
        self._seats = seats

    async def work_off_cancellations(self) -> int:
        """Do some of what is left for each cancelled showtime; a full round if there is more."""
        due = await self._ledger.due_cancellations(limits.DUTY_BATCH_MAX)
        unfinished, failures = False, []
        for showtime, closed in due.items():
            try:
                unfinished |= await self._work_off(showtime, closed=closed)
            except Exception as error:  # noqa: BLE001 (whatever is wrong with one showtime must not keep the others)
                log.warning("cancellation_failed", showtime=showtime, error=f"{type(error).__name__}: {error}")
                failures.append(error)
        if failures:
            raise failures[0]
        return limits.DUTY_BATCH_MAX if unfinished else 0

    async def _work_off(self, showtime: int, *, closed: bool) -> bool:
        """Work at one cancellation for a while; say whether there was no end to it."""
        ends_s = time.monotonic() + limits.CANCELLATION_SLICE_MS / limits.SECOND_MS
        batch = limits.CANCELLED_BOOKINGS_PER_BATCH_MAX
        while (began_s := time.monotonic()) < ends_s:
            try:
                if not closed:
                    await close_showtime(self._ledger, self._seats, showtime)
                holds, closed = await self._end_holds(showtime)
            except (SeatlockError, RedisError) as error:
                # Money does not wait for Redis; the holds are over for everybody who reads them.
                log.warning("holds_not_ended", showtime=showtime, error=error.code, detail=str(error))
                holds, closed = 0, False
            done = holds + await self._ledger.cancel_unpaid(showtime, batch)
            done += await self._ledger.refund_paid(showtime, batch)
            if not done and not await self._ledger.top_up_refunds(showtime, batch):
                if closed and await self._ledger.finish_cancellation(showtime):
                    log.info("cancellation_done", showtime=showtime)
                return False
            # As long a rest as the work took: on a busy machine sales have the larger part of it.
            await asyncio.sleep(time.monotonic() - began_s)
        return True

    async def _end_holds(self, showtime: int) -> tuple[int, bool]:
        """End some holds; give how many, and whether Redis has the showtime as cancelled."""
        try:
            ended, _ = await self._seats.end_holds(showtime)
        except Refusal as refusal:
            # Else: it has left Redis for good, and its holds with it.
            return 0, refusal.code != "not_cancelled"
        return ended, True
